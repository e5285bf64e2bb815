"""Forms: how a case calls a sequence; laws have (T, B, I) and (L, B, H) whatever the form is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stackgru.cases.case import Case


@dataclass(frozen=True)
class Form:
    """How a module is called.

    Attributes:
        batch_first: whether input and output are (B, T, I) and (B, T, H).
        left_out: whether a state of zeros is left out.
    """

    batch_first: bool = False
    left_out: bool = False

    @classmethod
    def of(cls, case: Case) -> Form:
        """Return the form of a case."""
        return cls(case.batch_first, case.h0 == "left-out")

    def laid_out(self, input: Tensor) -> Tensor:
        """Return (T, B, I) that is contiguous as the module gets it."""
        return input.transpose(0, 1).contiguous().transpose(0, 1) if self.batch_first else input

    def arguments(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the arguments of a call for an input and a state, None for none."""
        # What was carried on may be zeros by chance, and has a gradient that must not be cut off.
        is_left_out = h0 is None or (self.left_out and h0.grad_fn is None and not bool(h0.any()))
        state = () if is_left_out else (h0,)
        return (input.transpose(0, 1) if self.batch_first else input, *state)

    def shapes(self, input: Tensor, case: Case) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of output and hn for an input, as the call gives them."""
        *steps, rows, _ = input.shape
        output = (rows, *steps) if self.batch_first else (*steps, rows)
        return (*output, case.hidden_size), (case.num_layers, rows, case.hidden_size)

    def results(self, output: Tensor, hn: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and hn of a call as (T, B, H) and (L, B, H)."""
        return (output.transpose(0, 1) if self.batch_first else output), hn

    def call(self, module: Callable[..., Any], input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Call nn.GRU, or what gives results of its shapes."""
        return self.results(*module(*self.arguments(input, h0)))
