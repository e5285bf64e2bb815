"""What a target is, where it is not nn.GRU: a search among the known variants, two at a time.

It never guesses. A variant is named where the target agrees with it, within rounding, on every case
tried, and at least 100 of these are cases in which that variant and nn.GRU differ: nn.GRU from the
same seed, in its results or in where it leaves torch's generator, and nn.GRU under the masks that
the target drew, where those can be its. The cases are drawn anew, from the whole range of sizes,
and are not those that showed a violation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from stackgru.bounds.rounding import Bounded, allowed
from stackgru.cases.case import Case
from stackgru.cases.strategies import MAX_BATCH, MAX_LAYERS, MAX_SIZE, MAX_STEPS
from stackgru.diagnosis.designs import Design, Results, results
from stackgru.diagnosis.mask_sites import places
from stackgru.diagnosis.variants import TIME_ORDER, VARIANTS, Variant, design
from stackgru.gru.parameters import Layer, copy_layers, gru_layers
from stackgru.harness.masks import Draw, Recorder
from stackgru.harness.pair import Pair, Run
from stackgru.outcomes import Violated
from stackgru.targets.target import Target

#: Cases on which a variant must agree, and of these those in which nn.GRU must differ from it.
CASES = 200
DIFFERING = 100
_MOST_CASES = 1000  # for variants that few cases show, as those of the sixth layer
_ENOUGH_TO_TELL = 60
_AT_ONCE = 2  # variants
_DTYPES = ("float64", "float64", "float64", "float64", "float32")


@dataclass(frozen=True)
class Diagnosis:
    """What a target agrees with.

    Attributes:
        variants: the names of the variants; empty where none of those that are known fits.
        cases: on how many cases the target agrees with these, which is all that were tried.
        differing: in how many of them that is not nn.GRU.
    """

    variants: tuple[str, ...] = ()
    cases: int = 0
    differing: int = 0

    @property
    def sentence(self) -> str:
        """What it is, in one sentence without a subject."""
        if not self.variants:
            return "agrees with none of the known variants of nn.GRU, nor with two of them at once"
        what = "; and ".join(self.variants)
        return f"agrees with nn.GRU with: {what} ({self.cases} of {self.cases} cases)"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for a report."""
        return {**asdict(self), "variants": list(self.variants), "sentence": self.sentence}


@dataclass(frozen=True)
class Observation:
    """What a target did in a case, and what nn.GRU does there from the same seed.

    Attributes:
        case: the case.
        kind: the target's kind.
        input: (T, B, I).
        h0: (L, B, H).
        layers: the weights that both were to hold, layer by layer.
        run: the target's run.
        draws: the masks that it drew.
        reference: nn.GRU's run.
        ends_alike: whether both left torch's generator in the same state.
    """

    case: Case
    kind: str
    input: Tensor
    h0: Tensor
    layers: Sequence[Layer]
    run: Run
    draws: Sequence[Draw]
    reference: Run
    ends_alike: bool


@lru_cache(maxsize=16)
def diagnose(
    target: Target, *, order_counts: bool = False, dtypes: tuple[str, ...] = ()
) -> Diagnosis:
    """Say which variant of nn.GRU a target is.

    Args:
        target: the target; some law is violated by it.
        order_counts: whether masks in time order are a finding for a sequence, not only an answer.
        dtypes: names of dtypes to draw from; a variant is told in float64 and float32 only.

    Returns:
        The diagnosis.
    """
    with torch.random.fork_rng(devices=[]):
        plain = ((),) if order_counts else ((), (TIME_ORDER,))
        drawn = [name for name in _DTYPES if not dtypes or name in dtypes]
        if not drawn:
            return Diagnosis()
        cases = _Cases(target, plain, drawn)
        for variants in _candidates(cases, plain):
            agreed = cases.agreed(variants)
            if agreed is not None:
                return Diagnosis(tuple(one.name for one in variants), *agreed)
    return Diagnosis()


def _candidates(cases: _Cases, plain: Sequence[tuple[Variant, ...]]) -> list[tuple[Variant, ...]]:
    """Return what may be, the plainest first: one variant before two, in any order of masks.

    What shows in eval is sorted out there, where it takes no masks to see that.
    """
    in_eval = [one for one in VARIANTS if one.in_eval]
    of_dropout = [one for one in VARIANTS if not one.in_eval]
    shown = [one for one in [(), *_combined(in_eval)] if cases.agree(one, 0)]
    found: list[tuple[Variant, ...]] = []
    for variants in shown:
        more = [one for one in _combined(of_dropout) if len(one) + len(variants) <= _AT_ONCE]
        found += [(*variants, *one) for one in [(), *more]]
    found.sort(key=len)
    if cases.kind == "sequence":
        found = [one for part in found for one in (part, (*part, TIME_ORDER))]
    return [one for one in found if one not in plain]


def _combined(variants: Sequence[Variant]) -> Iterator[tuple[Variant, ...]]:
    yield from ((one,) for one in variants)
    yield from (pair for pair in combinations(variants, _AT_ONCE) if pair[0].fits(pair[1]))


class _Cases:
    """Fresh cases, each tried once on the target.

    Args:
        target: the target.
        plain: what is nn.GRU itself, as to the order of its masks.
        dtypes: the cases' dtypes, in turn.

    Attributes:
        kind: the target's kind.
    """

    def __init__(
        self, target: Target, plain: Sequence[tuple[Variant, ...]], dtypes: Sequence[str]
    ) -> None:
        self._nn_gru = plain
        self._dtypes = dtypes
        self.kind = target.kind
        self._target = target
        self._tried: dict[int, Observation | None] = {}
        self._random = random.Random(0)  # noqa: S311 - the same cases every time
        self._cases: list[Case] = []
        self._designs: dict[tuple[Variant, ...], Design] = {}
        self._differs: dict[tuple[tuple[Variant, ...], int], bool] = {}
        self._plain: dict[int, bool] = {}
        # One cell for all layers takes but an input that is as wide as a state.
        self._is_square = False
        self._is_square = self._try(0) is None
        self._cases.clear()
        self._tried.clear()

    def agree(self, variants: tuple[Variant, ...], number: int) -> bool:
        """Whether the target is the variant in this case."""
        tried = self._try(number)
        if tried is None:
            return False
        made = self._designs.setdefault(variants, design(variants))
        if made.shared_from == 0 and tried.case.input_size != tried.case.hidden_size:
            return False  # there is no such stack
        for masks in places(made, tried.case, self.kind, tried.draws):
            dtype, scale = tried.case.torch_dtype, tried.case.dropout_scale
            expected = results(made, tried.input, tried.h0, tried.layers, masks, scale, dtype)
            if _is_within(tried.run, expected, dtype):
                differs = not tried.ends_alike or _differs(tried.reference, expected, dtype)
                self._differs[variants, number] = differs and not self._is_plain(number)
                return True
        return False

    def _is_plain(self, number: int) -> bool:
        """Whether the target is nn.GRU under the masks that it drew, whatever it drew them from."""
        if number not in self._plain:
            self._plain[number] = False  # for agree itself, which is asked next
            self._plain[number] = any(self.agree(one, number) for one in self._nn_gru)
        return self._plain[number]

    def agreed(self, variants: tuple[Variant, ...]) -> tuple[int, int] | None:
        """Return in how many cases the target is the variant, and nn.GRU is not; None if not."""
        differing = 0
        for number in range(_MOST_CASES):
            if not self.agree(variants, number):
                return None
            differing += self._differs[variants, number]
            if number + 1 == _ENOUGH_TO_TELL and not differing:
                return None  # a variant of the sixth layer differs in every sixth case
            if number + 1 >= CASES and differing >= DIFFERING:
                return number + 1, differing
        return None

    def _try(self, number: int) -> Observation | None:
        while len(self._cases) <= number:
            self._cases.append(self._draw(len(self._cases)))
        if number not in self._tried:
            try:
                self._tried[number] = _tried(self._target, self._cases[number])
            except Violated:
                self._tried[number] = None
        return self._tried[number]

    def _draw(self, number: int) -> Case:
        """Draw a case; the first is in eval, and the first few are small."""
        pick, accepts = self._random, self._target.accepts
        small = number < 8
        size = 6 if small else MAX_SIZE
        hidden_size = _size(pick, size)
        case = Case(
            input_size=hidden_size if self._is_square else _size(pick, size),
            hidden_size=hidden_size,
            num_layers=pick.randint(2 + small, 3 if small else MAX_LAYERS),
            batch=pick.randint(1, 3 if small else MAX_BATCH),
            seq_len=pick.choice((2, 3)) if small else pick.choice((1, 2, 2, 3, 4, 5, MAX_STEPS)),
            dropout=round(pick.uniform(0.1, 0.9), 3) if "dropout" in accepts else 0.0,
            dtype=self._dtypes[number % len(self._dtypes)],
            mode="train" if number % 4 else "eval",
            seed=pick.getrandbits(64),
            bias=not ("bias" in accepts and number % 11 == 10),
        )
        return self._target.fitted(case)


def _size(pick: random.Random, largest: int) -> int:
    """Return a size; about half of them are small."""
    return pick.randint(2, pick.choice((min(8, largest), largest)))


def _tried(target: Target, case: Case) -> Observation:
    pair = Pair(target, case)
    layers = [
        {name: value.detach().clone() for name, value in one.items()}
        for one in pair.weights.intended(case)
    ]
    if not case.bias or not pair.reference.bias:
        layers = [{name: one[name] for name in ("weight_ih", "weight_hh")} for one in layers]
    copy_layers(layers, gru_layers(pair.reference))
    pair.seed()
    with Recorder() as recorder:
        run = pair.run()
    after = pair.generator_state()
    pair.seed()
    reference = pair.run_reference()
    alike = torch.equal(after, pair.generator_state())
    return Observation(
        case, pair.kind, pair.input, pair.h0, layers, run, recorder.draws, reference, alike
    )


def _is_within(run: Run, expected: Results, dtype: torch.dtype) -> bool:
    last = _last(expected)
    parts = [(run.outputs, expected.outputs), (run.hn, last)]
    if run.states is not None:
        parts.append((run.states, expected.states))
    return all(not _parts(actual, right, dtype) for actual, right in parts)


def _differs(run: Run, expected: Results, dtype: torch.dtype) -> bool:
    """Whether nn.GRU's run is surely not what is expected: both may err."""
    outputs, last = expected.outputs, _last(expected)
    return _parts(run.outputs, outputs, dtype, 2) or _parts(run.hn, last, dtype, 2)


def _last(expected: Results) -> Bounded:
    return Bounded(expected.states.value[-1], expected.states.error[-1])


def _parts(actual: Tensor, right: Bounded, dtype: torch.dtype, factor: int = 1) -> bool:
    """Whether results lie further apart than is allowed anywhere; NaN does."""
    difference = (actual.detach().double().cpu() - right.value).abs()
    return bool((~(difference <= factor * allowed(right, dtype))).any())
