"""Cells and sequence modules that take what nn.GRU refuses; for --strict only."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.cells import InnerGRU
from tests.subjects.right.layouts import Renamed


class CutsTheInput(InnerGRU):
    """Inputs beyond input_size are ignored."""

    def forward(self, input, h0=None):
        return super().forward(input[..., : self.gru.input_size], h0)


class FillsUpTheInput(InnerGRU):
    """A narrow input is filled up with zeros."""

    def forward(self, input, h0=None):
        missing = max(0, self.gru.input_size - input.shape[-1])
        return super().forward(F.pad(input, (0, missing)), h0)


class CutsTheLayers(InnerGRU):
    """States of more layers than there are are ignored."""

    def forward(self, input, h0=None):
        return super().forward(input, None if h0 is None else h0[: self.gru.num_layers])


class CutsTheRows(InnerGRU):
    """States of more rows than the input has are ignored."""

    def forward(self, input, h0=None):
        return super().forward(input, None if h0 is None else h0[:, : len(input)].contiguous())


class CutsTheUnits(InnerGRU):
    """States of more units than there are are ignored."""

    def forward(self, input, h0=None):
        width = self.gru.hidden_size
        return super().forward(input, None if h0 is None else h0[..., :width].contiguous())


class RepeatsOneRow(InnerGRU):
    """A state of one row is taken for all rows."""

    def forward(self, input, h0=None):
        if h0 is not None and h0.shape[1] == 1:
            h0 = h0.expand(-1, len(input), -1).contiguous()
        return super().forward(input, h0)


class ReshapesTheState(InnerGRU):
    """A state of any shape is taken that has the right number of values."""

    def forward(self, input, h0=None):
        if h0 is not None:
            h0 = h0.reshape(self.gru.num_layers, len(input), self.gru.hidden_size)
        return super().forward(input, h0)


class ConvertsTheInput(InnerGRU):
    """An input of another dtype is converted."""

    def forward(self, input, h0=None):
        return super().forward(input.to(self.gru.weight_ih_l0.dtype), h0)


class ConvertsTheState(InnerGRU):
    """A state of another dtype is converted."""

    def forward(self, input, h0=None):
        return super().forward(input, None if h0 is None else h0.to(input.dtype))


class TakesOneMoreAxis(InnerGRU):
    """An input with one axis more is taken, if that is of size one."""

    def forward(self, input, h0=None):
        if input.dim() == 3 and len(input) == 1:
            input = input[0]
        return super().forward(input, h0)


class TakesHugeRates(InnerGRU):
    """Rates outside [0, 1] are taken for the nearest inside."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, min(1, max(0, dropout)), bias)


class TakesNoLayers(InnerGRU):
    """No layers are taken for one."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, max(1, num_layers), dropout, bias)


class TakesNoSteps(Renamed):
    """A sequence module that gives its state for a sequence without steps."""

    def forward(self, input, h0=None):
        if len(input) or input.dim() != 3 or h0 is None:
            return super().forward(input, h0)
        return input.new_zeros(0, input.shape[1], self.hidden_size), h0


class ConvertsTheSequence(Renamed):
    """A sequence module that converts an input of another dtype."""

    def forward(self, input, h0=None):
        return super().forward(input.to(self.weight_ih_l0.dtype), h0)


class CutsTheLayersOfASequence(Renamed):
    """A sequence module that ignores states of more layers than there are."""

    def forward(self, input, h0=None):
        return super().forward(input, None if h0 is None else h0[: self.num_layers].contiguous())


class RepeatsOneRowOfASequence(Renamed):
    """A sequence module that takes a state of one row for all rows."""

    def forward(self, input, h0=None):
        if h0 is not None and h0.dim() == 3 and h0.shape[1] == 1:
            h0 = torch.cat([h0] * input.shape[1], 1)
        return super().forward(input, h0)
