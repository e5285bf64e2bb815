"""Sequence modules that take less than nn.GRU does."""

from __future__ import annotations

from tests.layouts import Whole


class PackedIsRefused(Whole):
    """Packed rows are refused."""

    def packed(self, input, h0):
        raise TypeError("a packed sequence cannot be taken")


class UnbatchedIsRefused(Whole):
    """An unbatched sequence is refused."""

    def unbatched(self, input, h0):
        raise ValueError("the input must have three axes")
