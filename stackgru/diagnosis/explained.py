"""Whether the variants of nn.GRU that a target was found to be explain a violation.

They do if a law sees the same in the target and in a module of theirs, run in the same case. What
else is wrong with the target shows in the cases in which it does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.diagnosis.modules import factory_of
from stackgru.diagnosis.variants import OF_GRADIENTS, TIME_ORDER, VARIANTS, design_of
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import (
    OF_DROPOUT,
    OF_VARIANTS,
    NotApplicable,
    Noted,
    Violated,
    Violation,
    noting,
)
from stackgru.targets.target import Target, load
from stackgru.torch_settings import make_known

#: Twice the bound of each of the two.
_ROOM = 4
#: What two orders of float32 operations may make of a number that no bound is given for.
_RELATIVE = 1e-5
_DTYPE = re.compile(r"torch\.b?float\d+")
_EXCEPTION = re.compile(r"\braised (\w+)")
_NUMBER = re.compile(r"[+-]?\d[\d.e+-]*")
_SHAPE = re.compile(r"\((#, ?)+#?\)")
#: What a law saw, and the text of what it raised.
_Seen = tuple[Noted, str]


class Variants:
    """What a target was found to be, as modules that are tried in its place.

    Args:
        target: the target.
        names: the variants' names.

    Attributes:
        names: likewise; if there are none, nothing else can be asked.
    """

    def __init__(self, target: Target, names: Sequence[str]) -> None:
        of_dropout = {one.name for one in (*VARIANTS, TIME_ORDER) if not one.in_eval}
        groups = {
            OF_VARIANTS: tuple(name for name in names if name not in of_dropout),
            OF_DROPOUT: tuple(name for name in names if name in of_dropout),
        }
        self._groups = {key: group for key, group in groups.items() if group}
        if len(self._groups) > 1:  # what needs both is one of dropout: in eval the other is alone
            self._groups["both"] = tuple(names)
        self.names = tuple(names)
        self._target = target

    def explaining(self, law: str, case: Case) -> str | None:
        """Return which of them do what the target does in a case; None if none do."""
        for key, names in self._groups.items():
            if self._are_alike(names, law, case):
                return key if key != "both" else OF_DROPOUT
        return None

    def raising_alike(self, law: str, case: Case) -> str | None:
        """Return which of them raise what the target does, for want of equal widths; None if none.

        Both raise the same kind of exception, and with an input as wide as the states both raise
        none and do the same.
        """
        square = self._target.fitted(replace(case, input_size=case.hidden_size))
        if not self.names or square.input_size != case.hidden_size:
            return None
        own, other = _seen(self._target, law, case), _seen(self._module(self.names), law, case)
        kinds = [_EXCEPTION.search(text) for _, text in (own, other)]
        if not all(kinds) or len({kind[1] for kind in kinds if kind}) > 1:
            return None
        return self.explaining(law, square)

    def explains(self, law: str, case: Case) -> bool:
        """Whether what the target does in a case, whatever it is, tells no more than they do.

        Where weights saturate or vanish, and in half precision, rounding may be all there is to it.
        """
        is_usual = {case.weights, case.input, case.state} <= {"usual", "zero"}
        if not is_usual or case.dtype not in FULL_PRECISION:
            return True
        return self._are_alike(self.names, law, case) is not False

    def can_be_tried(self, law: str, case: Case) -> bool:
        """Whether their modules can be called as the case says, and the law applies to them."""
        return self._seen_in(self.names, law, case) is not None

    def _are_alike(self, names: tuple[str, ...], law: str, case: Case) -> bool | None:
        """Whether a law sees the same in the target and in these; None if they cannot be tried.

        Bounds are those of nn.GRU, whose states may be smaller: what is close in float64, and as
        much further apart in float32 as that rounds coarser, is the same.
        """
        others = self._seen_in(names, law, case)
        if others is None:
            return None
        own = _seen(self._target, law, case)
        is_single = case.dtype == "float32" and not case.autocast
        if _alike(own, others) or not is_single or not _tell_alike(own, others):
            return _alike(own, others)
        double = replace(case, dtype="float64")
        exact, other_exact = _seen(self._target, law, double), self._seen_in(names, law, double)
        if other_exact is None or not _alike(exact, other_exact):
            return False
        coarser = torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
        return _apart(own, others) <= _ROOM * coarser * _apart(exact, other_exact)

    def _seen_in(self, names: tuple[str, ...], law: str, case: Case) -> _Seen | None:
        """Return what a law looks at in a module of these variants; None if it cannot be tried."""
        try:
            found = _seen(self._module(names), law, case)
        except NotApplicable:
            return None
        return None if " raised " in found[1] else found

    def _module(self, names: tuple[str, ...]) -> Target:
        return _made(names, self._target.kind, str(self._target.device))


@lru_cache(maxsize=64)
def _made(names: tuple[str, ...], kind: str, device: str) -> Target:
    variants = [one for one in (*VARIANTS, TIME_ORDER, *OF_GRADIENTS) if one.name in names]
    return load(factory_of(design_of(variants), kind), kind=kind, device=device)


def without_numbers(text: str) -> str:
    """Return a message but for its numbers and dtypes."""
    return _NUMBER.sub("#", _DTYPE.sub("a dtype", text))


def _without_shapes(text: str) -> str:
    """Return a message but for its numbers, dtypes and shapes: a row alone may be drawn as one."""
    return _SHAPE.sub("a shape", without_numbers(text))


def of_gradients(target: Target, law: str, case: Case) -> str | None:
    """Return the variant whose gradients a law sees in a target, if they are one's."""
    longer = replace(case, form="plain", lengths="", autocast="", seq_len=max(case.seq_len, 3))
    longer = target.fitted(replace(longer, num_layers=max(case.num_layers, 2)))
    asked = (law, case), ("gradients", longer)
    for one in OF_GRADIENTS:
        other = _made((one.name,), target.kind, str(target.device))
        with suppress(NotApplicable):
            is_seen = violation_in(other, law, case) is not None
            if is_seen and all(_alike(_seen(target, *each), _seen(other, *each)) for each in asked):
                return one.name
    return None


def violation_in(target: Target, law: str, case: Case) -> Violation | None:
    """Return how a target violates a law in a case; None if it does not.

    Raises:
        NotApplicable: if the law cannot be tried there, or the target is called otherwise.
    """
    try:
        pair = Pair(target, case)
        if pair.refused is not None:
            raise NotApplicable(pair.refused)
        all_laws()[law].check(pair)
    except Violated as error:
        return replace(error.violation, law=law, case=str(case))
    finally:
        make_known()
    return None


def _seen(target: Target, law: str, case: Case) -> _Seen:
    """Return what a law looks at in a target, and compares with nothing.

    Raises:
        NotApplicable: see violation_in.
    """
    with noting() as noted:
        found = violation_in(target, law, case)
    return noted, found.message if found else ""


def _alike(one: _Seen, other: _Seen) -> bool:
    """Whether a law sees the same in two targets, within rounding."""
    return _tell_alike(one, other) and all(
        _is_close(*mine, *theirs) for mine, theirs in _paired(one, other)
    )


def _tell_alike(one: _Seen, other: _Seen) -> bool:
    """Whether a law looks at the same things in two targets, and tells of them likewise."""
    (own, text), (others, other_text) = one, other
    return (
        _without_shapes(text) == _without_shapes(other_text)
        and own.keys() == others.keys()
        and all(len(own[what]) == len(others[what]) for what in own)
    )


def _paired(one: _Seen, other: _Seen) -> Iterator[tuple[tuple[Tensor, Tensor], ...]]:
    """Yield what a law looks at in two targets and what it allows, side by side."""
    for what, mine in one[0].items():
        yield from zip(mine, other[0][what], strict=True)


def _apart(one: _Seen, other: _Seen) -> float:
    """Return how far apart the numbers are that a law looks at in two targets, at most."""
    pairs = [(mine[0], theirs[0]) for mine, theirs in _paired(one, other)]
    if any(mine.shape != theirs.shape for mine, theirs in pairs):
        return math.inf
    found = [(mine.double() - theirs.double()).abs() for mine, theirs in pairs if mine.numel()]
    return max((float(one.max()) for one in found), default=0.0)


def _is_close(own: Tensor, allowed: Tensor, other: Tensor, other_allowed: Tensor) -> bool:
    if own.shape != other.shape:
        return False
    least = torch.finfo(own.dtype).tiny if own.is_floating_point() else 0.0
    own, other = own.double().cpu(), other.double().cpu()
    magnitude = own.abs().nan_to_num(0, 0) + least
    room = _ROOM * torch.maximum(allowed, other_allowed).cpu() + _RELATIVE * magnitude
    same = (own == other) | (own.isnan() & other.isnan())
    return bool((same | ((own - other).abs() <= room)).all())
