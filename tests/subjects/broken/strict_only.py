"""What counts with --strict only: masks in another order, edge inputs that are refused, a trace."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.broken.unbatched import UnbatchedDropsNothing
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


class TracesItsRows(Stack):
    """A trace holds only for the number of rows that it was made with."""

    def begin(self, input, h0):
        if not torch.jit.is_tracing():
            return h0
        return h0.reshape(self.num_layers, int(input.shape[0]), self.hidden_size)


class TracedForItsRows(nn.GRU):
    """Traced without a state, it starts from zeros for the rows of the trace."""

    def forward(self, input, hx=None):
        if hx is None and isinstance(input, torch.Tensor) and input.dim() == 3:
            rows = int(input.shape[0 if self.batch_first else 1])
            states = self.num_layers * (2 if self.bidirectional else 1)
            hx = input.new_zeros(states, rows, self.hidden_size)
        return super().forward(input, hx)


class PackedZerosInSinglePrecision(Whole):
    """Without a state, packed rows start from float32 zeros whatever their dtype is."""

    def packed(self, input, h0):
        if h0 is None:
            states = self.num_layers * len(self.directions)
            h0 = torch.zeros(states, int(input.batch_sizes[0]), self.hidden_size)
        return super().packed(input, h0)


class MasksInReverse(LayerByLayer):
    """The first step has the mask that is drawn for the last."""

    def gap(self, state, layer):
        return super().gap(state.flip(0), layer).flip(0)


class MasksOneStepLate(LayerByLayer):
    """A step has the mask of the step before it."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state)).roll(1, 0)


class RateOfItsConstruction(nn.GRU):
    """A rate that is set later is ignored."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.rate = self.dropout

    def forward(self, input, hx=None):
        self.dropout = self.rate
        return super().forward(input, hx)


class InfinityCutOff(Stack):
    """Infinite states are cut off at the largest number."""

    def begin(self, input, h0):
        return h0.clamp(-torch.finfo(h0.dtype).max, torch.finfo(h0.dtype).max)


class EmptyBatchFails(Stack):
    """With an empty batch it raises."""

    def start(self, input, h0):
        if len(input) == 0:
            raise IndexError("no rows")
        return super().start(input, h0)


class UnbatchedOutputHasRows(Whole):
    """Unbatched, the output has an axis of rows."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output.unsqueeze(1), hn


class NoneIsRefused(Whole):
    """The state may be left out, and None in its place is refused."""

    def forward(self, input, h0=False):
        return super().forward(input, None if h0 is False else h0.contiguous())


class UnbatchedMaskIsTransposed(UnbatchedDropsNothing):
    """Unbatched, masks are filled unit by unit, not step by step."""

    def masked(self, steps):
        return F.dropout(steps.transpose(0, 2).contiguous(), self.dropout).transpose(0, 2)


class MasksForThePadding(Whole):
    """The masks of packed rows are drawn for their padding as well."""

    def dropped(self, steps):
        rows = len(steps[0])
        padded = torch.stack([F.pad(step, (0, 0, 0, rows - len(step))) for step in steps])
        dropped = F.dropout(padded, self.dropout, self.training)
        return [full[: len(step)] for full, step in zip(dropped, steps, strict=True)]
