"""Arithmetic on numbers that carry a bound on their error, and on such numbers with a tangent.

Every operation propagates the errors of its operands and adds its own roundings, in Higham's
model (see rounding.py). It adds _CHARGE of them, each relative to the sum of the operands'
absolute values, so the same expression expanded, regrouped or reordered stays within the bound:
G (h - n) also bounds G h - G n, and G (1 - z) bounds G - G z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from stackgru.bounds.formats import Format
from stackgru.bounds.rounding import Bounded

# Roundings added per operation: one step of a formula is at most four of another's, as if a
# product is expanded over a difference and the constant 1 / (1 - p) is rounded as well.
_CHARGE = 4


@dataclass(frozen=True)
class Number:
    """A float64 tensor and a bound, which broadcasts to it, on its error in a format."""

    value: Tensor
    error: Tensor
    form: Format

    @classmethod
    def exact(cls, value: Tensor, form: Format) -> Number:
        """Return ``value`` without error."""
        value = value.detach().double().cpu()
        return cls(value, torch.zeros_like(value), form)

    @classmethod
    def of(cls, bounded: Bounded, form: Format) -> Number:
        """Return a bounded value as a number."""
        return cls(bounded.value, bounded.error, form)

    @cached_property
    def size(self) -> Tensor:
        """The largest possible absolute value."""
        return self.value.abs() + self.error

    @property
    def T(self) -> Number:  # noqa: N802 - as torch's
        """The transpose."""
        return Number(self.value.T, self.error.T, self.form)

    def __add__(self, other: Number) -> Number:
        own = (self.size + other.size).mul_(_CHARGE * self.form.unit)
        return Number(self.value + other.value, self.error + other.error + own, self.form)

    def __sub__(self, other: Number) -> Number:
        return self + Number(-other.value, other.error, self.form)

    def __mul__(self, other: Number) -> Number:
        # Its own roundings are relative to the product of the sizes, as the error of self is.
        factor = self.error.add(self.size, alpha=_CHARGE * self.form.unit)
        error = torch.addcmul(factor * other.size, self.value.abs(), other.error)
        return Number(self.value * other.value, error.add_(_CHARGE * self.form.smallest), self.form)

    def __matmul__(self, other: Number) -> Number:
        products, unit = self.value.shape[-1], self.form.unit
        terms = products + _CHARGE
        # Not Higham's gamma, which is negative from 1 / u terms on: 256 in bfloat16. An inner
        # product of any n terms, in any order, is within n u of the sum of their absolute values
        # (Jeannerod and Rump, SIAM J. Matrix Anal. Appl. 34, 2013).
        relative = products * unit + _CHARGE * unit * (1 + products * unit)
        factor = self.error.add(self.size, alpha=relative)
        error = (factor @ other.size).add_(terms * self.form.smallest)
        if other.error.any():
            error.add_(self.value.abs() @ other.error)
        if self.form.flush:  # factors below the smallest normal number may be treated as zero
            factors = self.size.sum(-1, keepdim=True) + other.size.sum(-2, keepdim=True) + terms
            error.add_(factors, alpha=self.form.flush)
        return Number(self.value @ other.value, error, self.form)._unless_too_large()

    def where(self, kept: Tensor, scale: float) -> Number:
        """Return the number scaled where a mask keeps it, and zero elsewhere."""
        gone = ~kept
        error = self.error.add(self.size, alpha=_CHARGE * self.form.unit).mul_(scale)
        error.add_(_CHARGE * self.form.smallest)
        # What has overflowed is NaN times zero.
        error.masked_fill_(gone & (error < torch.inf), 0.0)
        value = (self.value * scale).masked_fill_(gone, 0.0)
        return Number(value, error, self.form)._unless_too_large()

    def _unless_too_large(self) -> Number:
        # Above half the largest number an evaluation may overflow: nothing is claimed.
        too_large = (self.size <= self.form.largest / 2).logical_not_()
        return Number(self.value, self.error.masked_fill(too_large, torch.inf), self.form)

    def slope_of_sigmoid(self) -> Number:
        """Return s (1 - s) for s."""
        return self * (self.constant(torch.ones(())) - self)

    def constant(self, value: Tensor) -> Number:
        """Return an exact constant of the same type."""
        return Number.exact(value, self.form)

    def __getitem__(self, at: int) -> Number:
        return Number(self.value[at], self.error[at], self.form)

    def __len__(self) -> int:
        return len(self.value)

    def at(self, places: Tensor) -> Number:
        """Return the number where ``places``, which broadcasts to it, is true; zero elsewhere."""
        # What is nowhere may be anything, even NaN.
        value, error = (part.masked_fill(~places, 0.0) for part in (self.value, self.error))
        return Number(value, error, self.form)

    def joined(self, other: Number) -> Number:
        """Return the number and another, where one of them is zero without error."""
        return Number(self.value + other.value, self.error + other.error, self.form)

    def flip(self) -> Number:
        """Return the steps from the last to the first."""
        return Number(self.value.flip(0), self.error.flip(0), self.form)

    @property
    def rows(self) -> Number:
        """All rows (T * B, .) of all steps (T, B, .)."""
        return Number(self.value.flatten(0, 1), self.error.flatten(0, 1), self.form)

    @staticmethod
    def stack(parts: Sequence[Number]) -> Number:
        """Stack along a new first axis."""
        value = torch.stack([part.value for part in parts])
        error = torch.stack([part.error.expand_as(part.value) for part in parts])
        return Number(value, error, parts[0].form)

    @staticmethod
    def cat(parts: Sequence[Number], dim: int) -> Number:
        """Concatenate along an axis."""
        value = torch.cat([part.value for part in parts], dim)
        error = torch.cat([part.error.expand_as(part.value) for part in parts], dim)
        return Number(value, error, parts[0].form)

    def chunk(self, number: int) -> list[Number]:
        """Split the last axis."""
        parts = zip(self.value.chunk(number, -1), self.error.chunk(number, -1), strict=True)
        return [Number(value, error, self.form) for value, error in parts]


@dataclass(frozen=True)
class Dual:
    """A number and its tangent, the derivative along one direction."""

    value: Number
    tangent: Number

    @property
    def T(self) -> Dual:  # noqa: N802 - as torch's
        """The transpose."""
        return Dual(self.value.T, self.tangent.T)

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.value + other.value, self.tangent + other.tangent)

    def __sub__(self, other: Dual) -> Dual:
        return Dual(self.value - other.value, self.tangent - other.tangent)

    def __mul__(self, other: Dual) -> Dual:
        tangent = self.tangent * other.value + self.value * other.tangent
        return Dual(self.value * other.value, tangent)

    def __matmul__(self, other: Dual) -> Dual:
        tangent = self.tangent @ other.value + self.value @ other.tangent
        return Dual(self.value @ other.value, tangent)

    def where(self, kept: Tensor, scale: float) -> Dual:
        """Return the number scaled where a mask keeps it, and zero elsewhere."""
        return Dual(self.value.where(kept, scale), self.tangent.where(kept, scale))

    def constant(self, value: Tensor) -> Dual:
        """Return an exact constant of the same type."""
        return Dual(self.value.constant(value), self.value.constant(torch.zeros_like(value)))

    def __getitem__(self, at: int) -> Dual:
        return Dual(self.value[at], self.tangent[at])

    def __len__(self) -> int:
        return len(self.value)

    def at(self, places: Tensor) -> Dual:
        """Return the number where ``places``, which broadcasts to it, is true; zero elsewhere."""
        return Dual(self.value.at(places), self.tangent.at(places))

    def joined(self, other: Dual) -> Dual:
        """Return the number and another, where one of them is zero without error."""
        return Dual(self.value.joined(other.value), self.tangent.joined(other.tangent))

    def flip(self) -> Dual:
        """Return the steps from the last to the first."""
        return Dual(self.value.flip(), self.tangent.flip())

    def chunk(self, number: int) -> list[Dual]:
        """Split the last axis."""
        parts = zip(self.value.chunk(number), self.tangent.chunk(number), strict=True)
        return [Dual(value, tangent) for value, tangent in parts]

    @property
    def rows(self) -> Dual:
        """All rows (T * B, .) of all steps (T, B, .)."""
        return Dual(self.value.rows, self.tangent.rows)

    @staticmethod
    def stack(parts: Sequence[Dual]) -> Dual:
        """Stack along a new first axis."""
        values, tangents = [part.value for part in parts], [part.tangent for part in parts]
        return Dual(Number.stack(values), Number.stack(tangents))

    @staticmethod
    def cat(parts: Sequence[Dual], dim: int) -> Dual:
        """Concatenate along an axis."""
        values, tangents = [part.value for part in parts], [part.tangent for part in parts]
        return Dual(Number.cat(values, dim), Number.cat(tangents, dim))


#: The arithmetic that the equations of stackgru.bounds.backward are written in.
N = TypeVar("N", Number, Dual)
