"""Cells and sequence modules that are known variants of nn.GRU, one or two at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.broken.equations import UpdateGateComplemented
from tests.subjects.right.sequences import LayerByLayer, StepByStep
from tests.subjects.right.variants import Stack, Written


class GatesUpdateFirst(Written):
    """The weights are taken to be those of the update gate, the reset gate and the candidate."""

    def activate(self, x_products, h_products):
        parts = (torch.cat([z, r, n], -1) for r, z, n in _thirds(x_products, h_products))
        return super().activate(*parts)


class GatesCandidateFirst(Written):
    """The weights are taken to be those of the candidate, the reset gate and the update gate."""

    def activate(self, x_products, h_products):
        parts = (torch.cat([r, z, n], -1) for n, r, z in _thirds(x_products, h_products))
        return super().activate(*parts)


def _thirds(*products):
    return [product.chunk(3, -1) for product in products]


class NoBiasOfTheInput(Written):
    """The input's biases are left out."""

    def gates(self, cell, x, h):
        products = self.linear(x, cell.weight_ih, None)
        return self.activate(products, self.linear(h, cell.weight_hh, cell.bias_hh))


class NoStateBiasInTheCandidate(Written):
    """The state's bias of the candidate is left out, those of the gates are not."""

    def gates(self, cell, x, h):
        bias = cell.bias_hh
        if cell.bias:
            bias = torch.cat([bias[: 2 * self.hidden_size], 0 * bias[2 * self.hidden_size :]])
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        return self.activate(products, self.linear(h, cell.weight_hh, bias))


class HardGatesOfKeras(Written):
    """The gates are 0.2 x + 0.5, cut off at zero and one."""

    def sigmoid(self, sums):
        return (0.2 * sums + 0.5).clamp(0, 1)


class OneCellForAll(Stack):
    """The first layer's cell is used in every layer."""

    def cell(self, cell, x, h):
        return self.cells[0](x, h)


class SharesTheLastState(Stack):
    """Every layer gets the last layer's state."""

    def start(self, input, h0):
        return super().start(input, h0)[-1:].expand(self.num_layers, -1, -1)


class ResidualAfterDropout(Stack):
    """From the second layer on, what a layer gets is added to what goes up, after dropout."""

    def above(self, state, layer, below, old):
        return self.up(state, layer) + below if layer else self.up(state, layer)


class MaskDrawnOnce(Stack):
    """A gap's mask is drawn in the first step, and used in all."""

    def setup(self):
        self.masks = {}

    def gap(self, state, layer):
        if layer not in self.masks or self.masks[layer].shape != state.shape:
            self.masks[layer] = self.dropout(torch.ones_like(state))
        return state * self.masks[layer]


class DropsEachOldState(Stack):
    """Each layer's old state is dropped out before its step."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, self.dropout(h))


class DropsEachNewState(Stack):
    """What is carried on is dropped out by a mask of its own."""

    def forward(self, input, h0=None):
        states = self.start(input, h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            state = self.cell(cell, input, states[layer]).contiguous()
            input = self.up(state, layer)
            hn.append(self.dropout(state))
        return self.result(input, hn)


class ComplementedAndLastDropped(UpdateGateComplemented):
    """The update gate is taken for its complement, and the output is dropped out."""

    def result(self, output, hn):
        return super().result(self.dropout(output), hn)


class ResetBeforeAndOneBias(Written):
    """The reset gate multiplies the state, and the state's biases are left out."""

    def gates(self, cell, x, h):
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        r, z, _ = self.activate(products, self.linear(h, cell.weight_hh, None))
        x_n = products.chunk(3, -1)[2]
        return r, z, torch.tanh(x_n + self.linear(r * h, cell.weight_hh, None).chunk(3, -1)[2])


class InputAndLastDropped(Stack):
    """The input is dropped out, and the output."""

    def forward(self, input, h0=None):
        return super().forward(self.dropout(input), h0)

    def result(self, output, hn):
        return super().result(self.dropout(output), hn)


class OutputsDroppedInTimeOrder(StepByStep):
    """A sequence module that drops out its outputs, step by step."""

    def result(self, output, hn):
        return super().result(self.dropout(output), hn)


class IgnoresItsState(LayerByLayer):
    """It starts from zeros, whatever state it is given."""

    def forward(self, input, h0=None):
        return super().forward(input, None)


class ResetBeforeOverTime(LayerByLayer):
    """A sequence module whose reset gate multiplies the state."""

    def gates(self, cell, x, h):
        r, z, _ = super().gates(cell, x, h)
        x_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, -1)[2]
        return r, z, torch.tanh(x_n + F.linear(r * h, cell.weight_hh, cell.bias_hh).chunk(3, -1)[2])


class CarriesAndGivesDropped(nn.Module):
    """A sequence module that drops out every new state, which goes up, and on to the next step."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.GRUCell(width, hidden_size) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input, h0):
        hn = []
        for cell, state in zip(self.layers, h0, strict=True):
            outputs = []
            for x in input:
                state = self.dropout(cell(x, state))
                outputs.append(state)
            input = torch.stack(outputs)
            hn.append(state)
        return input, torch.stack(hn)
