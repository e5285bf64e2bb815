"""What counts with --strict only: other masks by strides, and layouts that are refused."""

from __future__ import annotations

from tests.subjects.right.layouts import Whole
from tests.subjects.right.variants import Stack


class PackedIsRefused(Whole):
    """Packed rows are refused."""

    def packed(self, input, h0):
        raise TypeError("a packed sequence cannot be taken")


class UnbatchedIsRefused(Whole):
    """An unbatched sequence is refused."""

    def unbatched(self, input, h0):
        raise ValueError("the input must have three axes")


class MasksFollowStrides(Stack):
    """Masks are filled in the order of the state's memory, not row by row."""

    def forward(self, input, h0=None):
        states = self.start(input, h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            hn.append(self.cell(cell, input, states[layer]))
            input = self.up(hn[-1], layer)
        return self.result(input, hn)
