"""What a law finds: a violation with its evidence, or a reason why it does not apply."""

from __future__ import annotations

import unittest

import torch
from torch import Tensor


class NotApplicable(unittest.SkipTest):
    """A law cannot be tried on this target, build or device; the message is the reason."""


class Violated(AssertionError):
    """A law is broken.

    Args:
        message: what was seen and what was expected, in one sentence.
        difference: the largest difference seen, where two values are compared.
        allowed: the difference that is allowed at the same place.
        place: where they first part, e.g. "step 0, layer 1, row 0, unit 2".

    Attributes:
        law: name of the law, set by whoever runs it.
        case: text of the case, likewise.
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
        self.message = message
        self.difference = difference
        self.allowed = allowed
        self.place = place
        self.law = ""
        self.case = ""


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
    actual, expected = actual.detach().double().cpu(), expected.detach().double().cpu()
    claimed = allowed.isfinite()
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    difference = torch.where(same | ~claimed, 0.0, (actual - expected).abs())
    difference = torch.where(difference.isnan(), torch.inf, difference)
    ratio = torch.where(difference == 0, 0.0, difference / allowed)
    if ratio.numel() == 0:
        return 0.0
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
    nothing = torch.zeros(actual.shape, dtype=torch.float64)
    assert_within(actual, expected, nothing, what=what, axes=axes)
