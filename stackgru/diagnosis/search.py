"""What a target is instead of nn.GRU: a search among the known variants, up to three at a time.

It never guesses. A variant is named only if the target agrees with it, within rounding, on every
case tried, and differs from nn.GRU on at least half of CASES: from nn.GRU run from the same seed,
in its results or in the state in which it leaves torch's generator, and from nn.GRU under the masks
that the target drew, if those can be nn.GRU's. The cases are drawn anew from the whole range of
sizes; the cases that showed a violation are not used. A target that is slow, as some outside torch
are, is tried on fewer: how many depends on the clock, and the sentence says it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from stackgru.bounds.rounding import Bounded, allowed, stacked
from stackgru.cases.case import Case
from stackgru.cases.strategies import MAX_BATCH, MAX_LAYERS, MAX_SIZE, MAX_STEPS
from stackgru.diagnosis.designs import Design, evaluate
from stackgru.diagnosis.mask_sites import masks_by_site
from stackgru.diagnosis.variants import TIME_ORDER, VARIANTS, Variant, design_of
from stackgru.gru.parameters import Layer, copy_layers, gru_layers
from stackgru.harness.masks import Draw, Recorder
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import Expected
from stackgru.outcomes import Violated
from stackgru.targets.target import Target
from stackgru.torch_settings import without_cudnn

#: Cases on which the target must agree with a variant, and on which that must not be nn.GRU.
CASES = 200
DIFFERING = 100
#: As many are enough for a target that takes so many seconds for them, as some outside torch do.
_SLOW_CASES, _SLOW_DIFFERING, _SLOW_SECONDS = 24, 12, 10.0
_MOST_CASES = 1000  # for variants that few cases show, such as those of the sixth layer
_GIVE_UP_AFTER = 60  # cases without any difference from nn.GRU
_MOST_VARIANTS = 3  # at once: two of what shows in eval or of dropout, and one of the other
_EVAL_EVERY = 4  # case is in eval
_IN_EVAL = tuple(range(0, 4 * _EVAL_EVERY, _EVAL_EVERY))  # the numbers of the first
_DTYPES = ("float64", "float64", "float64", "float64", "float32")


@dataclass(frozen=True)
class Diagnosis:
    """What a target agrees with.

    Attributes:
        variants: the names of the variants; empty if none of the known ones fits.
        cases: number of cases tried; the target agrees with the variants on all of them.
        differing: on how many of them that differs from nn.GRU.
        only_in_eval: whether it does so in eval alone, and drops in no known way in training.
    """

    variants: tuple[str, ...] = ()
    cases: int = 0
    differing: int = 0
    only_in_eval: bool = False

    @property
    def sentence(self) -> str:
        """What the target is, in a few words that answer "what is it?"."""
        if not self.variants:
            return "none of the known variants of nn.GRU, alone or a few at a time"
        what = " and ".join(self.variants).replace(" and dropout also ", " and ")
        where = "in eval, nn.GRU" if self.only_in_eval else "nn.GRU"
        return f"{where} with {what} (agrees on {self.cases} of {self.cases} cases)"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data for a report."""
        of_dropout = {one.name for one in (*VARIANTS, TIME_ORDER) if not one.in_eval}
        return {
            **asdict(self),
            "variants": list(self.variants),
            "of_dropout": [name for name in self.variants if name in of_dropout],
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Observation:
    """What a target did in a case, and what nn.GRU does there from the same seed.

    Attributes:
        case: the case.
        input: (T, B, I).
        h0: (L, B, H).
        layers: the weights that both should hold, layer by layer.
        run: the target's run.
        draws: the masks that it drew.
        reference: nn.GRU's run.
        ends_alike: whether both left torch's generator in the same state.
    """

    case: Case
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
    """Find which variant of nn.GRU a target is.

    Args:
        target: a target that violates some law.
        order_counts: whether masks drawn in time order are a violation for a sequence target.
        dtypes: names of dtypes to draw from; only float64 and float32 are used.
    """
    with torch.random.fork_rng(devices=[]), without_cudnn():
        nn_gru = ((),) if order_counts else ((), (TIME_ORDER,))
        wanted = {*(dtypes or _DTYPES)} - {*dict(target.refused_dtypes)}
        drawn = [name for name in _DTYPES if name in wanted]
        if not drawn:
            return Diagnosis()
        trials = _Trials(target, nn_gru, drawn)
        shown = _shown(trials)
        for variants in _candidates(trials, shown, nn_gru):
            counts = trials.counts(variants)
            if counts is not None:
                return Diagnosis(tuple(one.name for one in variants), *counts)
        for variants in shown[not shown or not shown[0] :]:
            counts = trials.counts(variants, every=_EVAL_EVERY)
            if counts is not None:
                return Diagnosis(tuple(one.name for one in variants), *counts, only_in_eval=True)
    return Diagnosis()


def _shown(trials: _Trials) -> list[tuple[Variant, ...]]:
    """Return the variants that the target may be in eval, the least first; none is one of them."""
    shown = [(), *_combined([one for one in VARIANTS if one.in_eval])]
    for number in _IN_EVAL:
        shown = [one for one in shown if trials.agrees(one, number)]
    return shown


def _candidates(
    trials: _Trials, shown: Sequence[tuple[Variant, ...]], nn_gru: Sequence[tuple[Variant, ...]]
) -> list[tuple[Variant, ...]]:
    """Return what the target may be, one variant before two, in any order of masks."""
    of_dropout = [one for one in VARIANTS if not one.in_eval and trials.drops]
    found: list[tuple[Variant, ...]] = []
    for variants in shown:
        more = [one for one in _combined(of_dropout) if len(one) + len(variants) <= _MOST_VARIANTS]
        found += [(*variants, *one) for one in [(), *more]]
    found.sort(key=len)
    if trials.kind == "sequence":
        found = [one for part in found for one in (part, (*part, TIME_ORDER))]
    return [one for one in found if one not in nn_gru]


def _combined(variants: Sequence[Variant]) -> Iterator[tuple[Variant, ...]]:
    yield from ((one,) for one in variants)
    yield from (pair for pair in combinations(variants, 2) if pair[0].fits(pair[1]))


class _Trials:
    """Fresh cases, the target run once in each, compared with any variants.

    Args:
        target: the target.
        nn_gru: variants that count as nn.GRU itself, which differ in the order of masks only.
        dtypes: the cases' dtypes, in turn.
    """

    def __init__(
        self, target: Target, nn_gru: Sequence[tuple[Variant, ...]], dtypes: Sequence[str]
    ) -> None:
        self._began = time.monotonic()
        self._nn_gru = nn_gru
        self._dtypes = dtypes
        self.kind = target.kind
        self.drops = "dropout" in target.accepts or bool(target.rate)
        self._target = target
        self._observed: dict[int, Observation | None] = {}
        self._random = random.Random(0)  # noqa: S311 - the same cases every time
        self._cases: list[Case] = []
        self._designs: dict[tuple[Variant, ...], Design] = {}
        self._differs: dict[tuple[tuple[Variant, ...], int], bool] = {}
        self._is_nn_gru_in: dict[int, bool] = {}
        # One cell for all layers only takes an input that is as wide as a state.
        self._is_square = False
        self._is_square = self._observation(0) is None
        self._cases.clear()
        self._observed.clear()

    def agrees(self, variants: tuple[Variant, ...], number: int) -> bool:
        """Whether the target agrees with the variants in this case."""
        seen = self._observation(number)
        if seen is None:
            return False
        design = self._designs.setdefault(variants, design_of(variants))
        if design.shared_from == 0 and seen.case.input_size != seen.case.hidden_size:
            return False  # there is no such stack
        dtype, scale = seen.case.torch_dtype, seen.case.dropout_scale
        for masks in masks_by_site(design, seen.case, self.kind, seen.draws):
            steps = evaluate(design, seen.input, seen.h0, seen.layers, masks, scale, dtype)
            expected = _matching(seen.run, steps, dtype)
            if expected is not None:
                differs = not seen.ends_alike or _differs(seen.reference, expected, dtype)
                self._differs[variants, number] = differs and not self._is_nn_gru(number)
                return True
        return False

    def _is_nn_gru(self, number: int) -> bool:
        """Whether the target is nn.GRU under the masks that it drew, however it drew them."""
        if number not in self._is_nn_gru_in:
            self._is_nn_gru_in[number] = False  # agrees, called next, comes back here
            self._is_nn_gru_in[number] = any(self.agrees(one, number) for one in self._nn_gru)
        return self._is_nn_gru_in[number]

    def counts(self, variants: tuple[Variant, ...], *, every: int = 1) -> tuple[int, int] | None:
        """Return how many cases were tried and how many differ from nn.GRU; None if any fails."""
        differing = 0
        for tried in range(1, _MOST_CASES + 1):
            number = every * (tried - 1)
            if not self.agrees(variants, number):
                return None
            differing += self._differs[variants, number]
            if tried == _GIVE_UP_AFTER and not differing:
                return None  # even a variant of the sixth layer differs in every sixth case
            if tried >= CASES and differing >= DIFFERING:
                return tried, differing
            enough = tried >= _SLOW_CASES and differing >= _SLOW_DIFFERING
            if enough and time.monotonic() - self._began > _SLOW_SECONDS:
                return tried, differing
        return None

    def _observation(self, number: int) -> Observation | None:
        while len(self._cases) <= number:
            self._cases.append(self._draw(len(self._cases)))
        if number not in self._observed:
            try:
                self._observed[number] = _observe(self._target, self._cases[number])
            except Violated:
                self._observed[number] = None
        return self._observed[number]

    def _draw(self, number: int) -> Case:
        """Draw a case; the first is in eval, and the first few are small."""
        pick, accepts = self._random, self._target.accepts
        small, is_square = number < 8, self._is_square or number % 7 == 3
        size = 6 if small else MAX_SIZE
        hidden_size = _size(pick, size)
        case = Case(
            input_size=hidden_size if is_square else _size(pick, size),
            hidden_size=hidden_size,
            num_layers=pick.randint(2 + small, 3 if small else MAX_LAYERS),
            batch=pick.randint(1, 3 if small else MAX_BATCH),
            seq_len=pick.choice((2, 3)) if small else pick.choice((1, 2, 2, 3, 4, 5, MAX_STEPS)),
            dropout=round(pick.uniform(0.1, 0.9), 3) if "dropout" in accepts else 0.0,
            dtype=self._dtypes[number % len(self._dtypes)],
            mode="train" if number % _EVAL_EVERY else "eval",
            seed=pick.getrandbits(64),
            bias=not ("bias" in accepts and number % 11 == 10),
        )
        return self._target.fitted(case)


def _size(pick: random.Random, largest: int) -> int:
    """Draw a size; about half of them are small."""
    return pick.randint(2, pick.choice((min(8, largest), largest)))


def _observe(target: Target, case: Case) -> Observation:
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
    return Observation(case, pair.input, pair.h0, layers, run, recorder.draws, reference, alike)


def _matching(
    run: Run, steps: Iterable[tuple[Bounded, Bounded]], dtype: torch.dtype
) -> Expected | None:
    """Return a design's results if the run is within them, None at the first step that is not."""
    outputs = []
    for step, (output, last) in enumerate(steps):
        if _is_apart(run.outputs[step], output, dtype):
            return None
        if run.states is not None and _is_apart(run.states[step], last, dtype):
            return None
        outputs.append(output)
    return None if _is_apart(run.hn, last, dtype) else Expected(stacked(outputs), last)


def _differs(run: Run, expected: Expected, dtype: torch.dtype) -> bool:
    """Whether nn.GRU's run surely differs from what is expected; both may err."""
    outputs, hn = expected.outputs, expected.hn
    return _is_apart(run.outputs, outputs, dtype, 2) or _is_apart(run.hn, hn, dtype, 2)


def _is_apart(actual: Tensor, right: Bounded, dtype: torch.dtype, factor: int = 1) -> bool:
    """Whether results lie further apart than allowed anywhere; NaN always does."""
    difference = (actual.detach().double().cpu() - right.value).abs()
    return bool((~(difference <= factor * allowed(right, dtype))).any())
