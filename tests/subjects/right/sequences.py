"""Right sequence modules that differ from nn.GRU in rounding or style only.

The layouts of nn.GRU, batch first, unbatched, packed and bidirectional, are in layouts.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects import classes_in
from tests.subjects.right.forms_otherwise import FORMS
from tests.subjects.right.layouts import Holding, Renamed, Whole
from tests.subjects.right.sequences_otherwise import SEQUENCES
from tests.subjects.right.variants import Stack, Written


class LayerByLayer(Written):
    """A sequence module: each layer over all steps, then dropout on all of its outputs."""

    def forward(self, input, h0=None):
        states = self.start(input[0], h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            input, state = self.over_time(cell, input, states[layer])
            hn.append(state)
            input = self.up(input, layer)
        return self.result(input, hn)

    def over_time(self, cell, input, state):
        outputs = []
        for x in input:
            state = self.cell(cell, x, state)
            outputs.append(state)
        return torch.stack(outputs), state


class StepByStep(Written):
    """A sequence module: all layers at each step, so that its masks come in time order."""

    def forward(self, input, h0=None):
        state = self.start(input[0], h0)
        outputs = []
        for x in input:
            output, state = super().forward(x, state)
            outputs.append(output)
        return torch.stack(outputs), state


class BatchFirstInside(LayerByLayer):
    """A sequence module that keeps its outputs batch first, and so draws its masks."""

    def up(self, state, layer):
        return super().up(state.transpose(0, 1).contiguous(), layer).transpose(0, 1).contiguous()


class OneLayerModules(nn.Module):
    """A sequence module: nn.GRUs of one layer each, with dropout between them."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.GRU(hidden_size if layer else input_size, hidden_size) for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, h0):
        hn = []
        for layer, gru in enumerate(self.layers):
            x, state = gru(self.dropout(x) if layer else x, h0[layer : layer + 1])
            hn.append(state)
        return x, torch.cat(hn)


class InputProductsAtOnce(LayerByLayer):
    """A layer's products with its input are made for all steps at once."""

    def over_time(self, cell, input, state):
        outputs = []
        for x_products in self.linear(input, cell.weight_ih, cell.bias_ih):
            h_products = self.linear(state, cell.weight_hh, cell.bias_hh)
            state = self.update(*self.activate(x_products, h_products), state)
            outputs.append(state)
        return torch.stack(outputs), state


class WholeInFloat64(LayerByLayer):
    """A sequence module all in float64, of which only the results are rounded."""

    def forward(self, input, h0=None):
        h0 = self.start(input[0], h0)
        output, hn = super().forward(input.double(), h0.double())
        return output.to(input.dtype), hn.to(input.dtype)

    def linear(self, x, weight, bias):
        return super().linear(x, weight.double(), None if bias is None else bias.double())


class OutputsPreallocated(LayerByLayer):
    """Every layer writes its outputs into a tensor that is made beforehand."""

    def over_time(self, cell, input, state):
        outputs = input.new_empty(*input.shape[:-1], self.hidden_size)
        for step, x in enumerate(input):
            state = self.cell(cell, x, state)
            outputs[step] = state
        return outputs, state


class BackwardsAndBack(LayerByLayer):
    """The sequence is turned round, gone through from its end, and its outputs turned back."""

    def over_time(self, cell, input, state):
        outputs = []
        for x in reversed(input.flip(0).unbind()):
            state = self.cell(cell, x, state)
            outputs.insert(0, state)
        return torch.stack(outputs).flip(0), state


class PadsTheBatch(LayerByLayer):
    """A row of zeros is added before each step, and taken away after it."""

    def cell(self, cell, x, h):
        return super().cell(cell, F.pad(x, (0, 0, 0, 1)), F.pad(h, (0, 0, 0, 1)))[:-1]


class OneStepCalls(nn.Module):
    """nn.GRU is called once a step, and its state handed on."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, num_layers, bias, dropout=dropout)

    def forward(self, input, h0=None):
        outputs = []
        for x in input.split(1):
            output, h0 = self.gru(x, h0)
            outputs.append(output)
        return torch.cat(outputs), h0


class FusedSequence(Stack):
    """One fused call on the parameters of the cells."""

    def forward(self, input, h0=None):
        has_bias = self.cells[0].bias
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if has_bias else 2]
        weights = [getattr(cell, name) for cell in self.cells for name in names]
        shape = has_bias, self.num_layers, self.dropout.p, self.training, False, False
        return torch._VF.gru(input, self.start(input[0], h0), weights, *shape)


class Halving(LayerByLayer):
    """A layer goes through the first half of the steps, then through the second, and so on."""

    def over_time(self, cell, input, state):
        if len(input) == 1:
            state = self.cell(cell, input[0], state)
            return state.unsqueeze(0), state
        first, second = input.tensor_split(2)
        earlier, state = self.over_time(cell, first, state)
        later, state = self.over_time(cell, second, state)
        return torch.cat([earlier, later]), state


class Unrolled(nn.Module):
    """A stack inside a module that calls it step by step."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.decoder = Stack(input_size, hidden_size, num_layers, dropout, bias)

    def forward(self, input, h0=None):
        steps = []
        for x in input.unbind():
            output, h0 = self.decoder(x, h0)
            steps.append(output.unsqueeze(0))
        return torch.cat(steps), h0


class RowsInTurn(LayerByLayer):
    """A layer takes one row after the other, each over all steps; masks are drawn for all rows."""

    def over_time(self, cell, input, state):
        rows = [
            super(RowsInTurn, self).over_time(cell, *row)
            for row in zip(input.split(1, 1), state.split(1), strict=True)
        ]
        outputs, states = zip(*rows, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)


class MasksFirst(StepByStep):
    """All masks are drawn before the first step, layer by layer, and used in time order."""

    def forward(self, input, h0=None):
        if not self.training:  # two threads may call it
            return super().forward(input, h0)
        ones = input.new_ones(*input.shape[:-1], self.hidden_size)
        self.masks = [self.dropout(ones) for _ in range(self.num_layers - 1)]
        self.steps = iter(range(len(input)))
        return super().forward(input, h0)

    def gap(self, state, layer):
        if not self.training:
            return state
        if layer == 0:
            self.step = next(self.steps)
        return state * self.masks[layer][self.step]


class MasksInTheCallersOrder(Whole):
    """The masks of unsorted packed rows are drawn in the caller's order, not in the sorted one."""

    def forward(self, input, h0=None):
        self.order = getattr(input, "sorted_indices", None)
        return super().forward(input, h0)

    def dropped(self, steps):
        if self.order is None or not self.training:
            return super().dropped(steps)
        masks = super().dropped([torch.ones_like(step) for step in steps])
        places = [self.order[: len(step)].argsort().argsort() for step in steps]
        return [x * mask[place] for x, mask, place in zip(steps, masks, places, strict=True)]


RIGHT_SEQUENCES = (*classes_in(__name__), Whole, Renamed, Holding, *SEQUENCES, *FORMS, nn.GRU)
