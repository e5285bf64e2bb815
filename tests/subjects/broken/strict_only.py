"""What counts with --strict only: other masks by strides, and edge inputs that are refused."""

from __future__ import annotations

import torch

from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer
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


class LooksAtItsInput(Stack):
    """It looks for NaN in its input, and goes another, equal way then."""

    def start(self, input, h0):
        if bool(input.isnan().any()):
            input = input.clone()
        return super().start(input, h0)


class StopsAtMeta(Stack):
    """Without a state it makes one on the CPU."""

    def start(self, input, h0):
        if h0 is None:
            shape = self.num_layers, len(input), self.hidden_size
            return torch.zeros(shape, dtype=input.dtype, device="cpu")
        return super().start(input, h0)


class OutputInSinglePrecision(Stack):
    """In the half precisions the output is float32."""

    def end(self, output, hn):
        return output.float() if output.element_size() == 2 else output, hn


class StatesInSinglePrecision(Stack):
    """hn is float32 whatever the input is."""

    def end(self, output, hn):
        return output, hn.float()


class OutputsInSinglePrecision(LayerByLayer):
    """In the half precisions the outputs are float32."""

    def end(self, output, hn):
        return output.float() if output.element_size() == 2 else output, hn
