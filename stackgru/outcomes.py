"""What a law finds: a violation with its evidence, or a reason why it does not apply.

Torch is imported when tensors are compared: reports are read without it.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


#: In messages of what a target raised that ``except Exception`` does not catch.
NO_EXCEPTION = "which is no Exception"

#: Symptoms of violations that variants of nn.GRU explain, by whether they show in eval.
OF_VARIANTS, OF_DROPOUT = "a variant", "a variant of dropout"


@dataclass(frozen=True)
class Violation:
    """A law that does not hold, and the evidence.

    Attributes:
        law: the law's name.
        case: text of the smallest case that shows it, which Case.parse reads.
        message: what was seen and what was expected, in one sentence.
        difference: the largest difference seen, if values are compared.
        allowed: what is allowed for the element that differs most.
        place: the first place where they differ by more than is allowed, e.g. "step 0, row 1".
        first_wrong_at: the first step and layer whose new state is not the equation of its own
            input and state, with both numbers and the bound, if values are compared.
        gate: the first gate there that is wrong by itself, likewise.
        map: for each layer and step the largest ratio of difference to bound of the new state, in
            a case with a few more of both.
        symptom: what is wrong at the bottom of it, which other laws may see as well.
        script: path of the script that shows it, if it was saved.
        problem: why there is no script, or why the script does not show it.
    """

    law: str
    case: str
    message: str
    difference: float | None = None
    allowed: float | None = None
    place: str | None = None
    first_wrong_at: str | None = None
    gate: str | None = None
    map: tuple[tuple[float, ...], ...] | None = None
    symptom: str | None = None
    script: str | None = None
    problem: str | None = None

    @property
    def ended_the_process(self) -> bool:
        """Whether the target ended the process that called it, or raised what would have."""
        return self.message.startswith("the process ") or NO_EXCEPTION in self.message


#: What assert_within was given, by its name: each time what the target gave, and what is allowed.
Noted = dict[str, list[tuple["Tensor", "Tensor"]]]
_noted: list[Noted] = []


class NotApplicable(unittest.SkipTest):
    """A law cannot be tried on this target, build or device; the message is the reason."""


class Violated(AssertionError):
    """A law does not hold; ``violation`` is the evidence, without the law and case tried.

    Args:
        message: see Violation, as for the rest.
    """

    def __init__(
        self,
        message: str,
        *,
        difference: float | None = None,
        allowed: float | None = None,
        place: str | None = None,
    ) -> None:
        super().__init__(message)
        self.violation = Violation("", "", message, difference, allowed, place)


class RefusedInput(Violated):
    """The target refuses an edge input that nn.GRU accepts, which counts with --strict only."""


@contextmanager
def noting() -> Iterator[Noted]:
    """Have assert_within note what it is given, and compare nothing."""
    _noted.append({})
    try:
        yield _noted[-1]
    finally:
        _noted.pop()


def assert_within(
    actual: Tensor,
    expected: Tensor,
    allowed: Tensor,
    *,
    what: str,
    axes: tuple[str, ...] | None = None,
) -> float:
    """Raise Violated if two results differ by more than is allowed, as torch.testing words it.

    Args:
        actual: what the target gave.
        expected: what it should have given, of the same shape.
        allowed: how far the two may lie apart; infinite where nothing is claimed.
        what: names ``actual`` in the message.
        axes: names the axes in the place, which is an index if None.

    Returns:
        The largest ratio of difference to allowed difference, 0 if nothing is claimed anywhere.

    Raises:
        Violated: both values at the first place where they differ by more than is allowed; and
            the largest such difference, with what is allowed for that element.
    """
    __tracebackhide__ = True
    import torch

    if actual.numel() == 0:
        return 0.0
    if _noted:
        _noted[-1].setdefault(what, []).append((actual.detach().clone(), allowed))
        return 0.0
    with torch.inference_mode():
        actual, expected = actual.detach().double().cpu(), expected.detach().double().cpu()
        allowed = allowed.cpu()
        difference = (actual - expected).abs_()
        if difference.isnan().any():  # NaN, or two infinities
            same = (actual == expected) | (actual.isnan() & expected.isnan())
            difference.nan_to_num_(torch.inf, torch.inf).masked_fill_(same, 0.0)
        difference.masked_fill_((allowed < torch.inf).logical_not_(), 0.0)  # nothing is claimed
        ratio = (difference / allowed).masked_fill_(difference == 0, 0.0)
        worst = float(ratio.max())
    if worst <= 1:
        return worst
    wrong = ratio > 1
    at = tuple(int(i) for i in wrong.nonzero()[0])
    place = f"index {at}"
    if axes is not None:
        place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, at, strict=True))
    largest = int(torch.where(wrong, difference, 0.0).argmax())
    most, bound = float(difference.flatten()[largest]), float(allowed.flatten()[largest])
    raise Violated(
        f"{what}: {got_and_expected(actual[at], expected[at])} at {place} "
        f"({int(wrong.sum())} of {wrong.numel()} elements differ, at most {most:.3g}; "
        f"{bound:.2g} allowed)",
        difference=most,
        allowed=bound,
        place=place,
    )


def got_and_expected(got: Tensor | float, expected: Tensor | float) -> str:
    """Return two numbers as all messages show them."""
    return "got {!r}, expected {!r}".format(*(float(f"{float(x):.9g}") for x in (got, expected)))


def assert_equal(
    actual: Tensor, expected: Tensor, *, what: str, axes: tuple[str, ...] | None = None
) -> None:
    """Raise Violated if two results are not equal to the bit; NaN equals NaN."""
    __tracebackhide__ = True
    import torch

    nothing = torch.zeros(actual.shape, dtype=torch.float64)
    assert_within(actual, expected, nothing, what=what, axes=axes)
