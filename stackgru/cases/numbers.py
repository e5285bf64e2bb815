"""Cases that carry their numbers: the tensors of a shrunk case, told in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from torch import Tensor

from stackgru.cases.case import Case, draw_h0, draw_input, draw_weights

#: A case of more numbers than these, tensors of zeros apart, is told by its seeds.
MOST_NUMBERS = 64


@dataclass(frozen=True)
class NumberedCase(Case):
    """A case whose input, h0 and weights are given instead of drawn.

    Attributes:
        numbers: the numbers of each tensor that is given, flat, by the name that it is drawn by:
            "input", "h0", "weight_ih 0" (of layer 0) and so on.
    """

    numbers: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def given(self, name: str) -> Sequence[float] | None:
        """Return the numbers given for ``name``, or None where it is drawn."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, tuple[float, ...]]:
        return dict(self.numbers)


def tensors_of(case: Case) -> dict[str, Tensor]:
    """Return the tensors that a case stands for, by the names that they are drawn by."""
    tensors = {"input": draw_input(case), "h0": draw_h0(case)}
    for layer, weights in enumerate(draw_weights(case)):
        tensors |= {f"{name} {layer}": value for name, value in weights.items()}
    return tensors


def numbers_of(case: Case) -> dict[str, tuple[float, ...]]:
    """Return the numbers that a case stands for, each tensor's flat, by name."""
    return {
        name: tuple(value.double().flatten().tolist()) for name, value in tensors_of(case).items()
    }


def with_numbers(case: Case, numbers: Mapping[str, Sequence[float]]) -> NumberedCase:
    """Return a case with these numbers in place of those that it draws.

    Args:
        case: gives everything else.
        numbers: by the names that numbers_of gives.
    """
    values = {field.name: getattr(case, field.name) for field in fields(Case)}
    given = tuple((name, tuple(map(float, flat))) for name, flat in numbers.items())
    return NumberedCase(**values, numbers=given)


def is_literal(case: Case) -> bool:
    """Whether a case has few enough numbers to be told by them; a tensor of zeros counts none."""
    told = (value.numel() for value in tensors_of(case).values() if value.any())
    return sum(told) <= MOST_NUMBERS
