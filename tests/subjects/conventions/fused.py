"""Stacks whose weights lie in other parameters than nn.GRU's, and faults of each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.conventions.called_otherwise import cells_of

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Linears(nn.Module):
    """A Linear for the input and one for the state, in each layer; called as a cell is."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.of_input = nn.ModuleList(nn.Linear(size, 3 * hidden_size) for size in sizes)
        self.of_state = nn.ModuleList(nn.Linear(hidden_size, 3 * hidden_size) for _ in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, h):
        new = []
        pairs = zip(self.of_input, self.of_state, h, strict=True)
        for layer, (of_input, of_state, state) in enumerate(pairs):
            x = self.dropout(x) if layer else x
            x = self.combine(of_input(x), of_state(state), state).contiguous()
            new.append(x)
        return new[-1], torch.stack(new)

    def combine(self, from_input, from_state, h):
        x_r, x_z, x_n = from_input.chunk(3, -1)
        h_r, h_z, h_n = from_state.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return (1 - z) * torch.tanh(x_n + r * h_n) + z * h


def in_linears(module):
    pairs = zip(module.of_input, module.of_state, strict=True)
    parts = ((one.weight, other.weight, one.bias, other.bias) for one, other in pairs)
    return [dict(zip(NAMES, values, strict=True)) for values in parts]


class LinearsReversed(Linears):
    """The update gate is taken the other way round."""

    def combine(self, from_input, from_state, h):
        x_r, x_z, x_n = from_input.chunk(3, -1)
        h_r, h_z, h_n = from_state.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return z * torch.tanh(x_n + r * h_n) + (1 - z) * h


class Fused(nn.Module):
    """What the layouts below share: gates from ``read``, which their weights function shows."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.dropout = nn.Dropout(dropout)
        self.make([input_size] + [hidden_size] * (num_layers - 1))

    def forward(self, x, h):
        new = []
        for layer, weights in enumerate(self.read()):
            x = self.dropout(x) if layer else x
            x = self.step(x, h[layer], *weights.values()).contiguous()
            new.append(x)
        return new[-1], torch.stack(new)

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        x_r, x_z, x_n = F.linear(x, weight_ih, bias_ih).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, weight_hh, bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return (1 - z) * torch.tanh(x_n + r * h_n) + z * h

    def read(self):
        raise NotImplementedError


def read(module):
    return module.read()


class OneLinear(Fused):
    """One Linear for all layers' inputs and one for all their states; a layer is a view."""

    def make(self, sizes):
        width = 3 * self.hidden_size
        self.of_input = nn.Linear(max(sizes), width * len(sizes))
        self.of_state = nn.Linear(self.hidden_size, width * len(sizes))

    def read(self):
        layers = []
        width = 3 * self.hidden_size
        for layer in range(self.num_layers):
            rows = slice(layer * width, (layer + 1) * width)
            size = self.hidden_size if layer else self.input_size
            values = (
                self.of_input.weight[rows, :size],
                self.of_state.weight[rows],
                self.of_input.bias[rows],
                self.of_state.bias[rows],
            )
            layers.append(dict(zip(NAMES, values, strict=True)))
        return layers


class OneLinearShared(OneLinear):
    """The second layer and those above read the second layer's part."""

    def read(self):
        layers = super().read()
        return layers[:1] + layers[1:2] * (len(layers) - 1)


class UpdateFirst(Fused):
    """Gates in the order z, r, n, in columns, input and state in one tensor."""

    def make(self, sizes):
        width = 3 * self.hidden_size
        bound = self.hidden_size**-0.5
        self.kernels = nn.ParameterList(
            torch.empty(size + self.hidden_size, width).uniform_(-bound, bound) for size in sizes
        )
        self.biases = nn.ParameterList(torch.empty(2, width).uniform_(-bound, bound) for _ in sizes)

    def read(self):
        layers = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            size = len(kernel) - self.hidden_size
            values = (kernel[:size].t(), kernel[size:].t(), bias[0], bias[1])
            layers.append(dict(zip(NAMES, map(self.swapped, values), strict=True)))
        return layers

    def swapped(self, value):
        z, r, n = value.chunk(3)
        return torch.cat([r, z, n])


class UpdateFirstForgotten(UpdateFirst):
    """It reads the gates as r, z, n after all."""

    def step(self, x, h, *weights):
        return super().step(x, h, *map(self.swapped, weights))


class OneBias(Fused):
    """The two biases of r and z are one; only the candidate has two."""

    def make(self, sizes):
        h = self.hidden_size
        self.w = nn.ParameterList(torch.rand(3 * h, size) - 0.5 for size in sizes)
        self.u = nn.ParameterList(torch.rand(3 * h, h) - 0.5 for _ in sizes)
        self.b = nn.ParameterList(torch.rand(3 * h) - 0.5 for _ in sizes)
        self.b_n = nn.ParameterList(torch.rand(h) - 0.5 for _ in sizes)

    def read(self):
        layers = []
        for values in zip(self.w, self.u, self.b, self.b_n, strict=True):
            *first, b_n = values
            b_hh = torch.cat([b_n.new_zeros(2 * self.hidden_size), b_n])
            layers.append(dict(zip(NAMES, (*first, b_hh), strict=True)))
        return layers


class OneBiasDetached(OneBias):
    """The candidate's second bias takes no gradient."""

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        return super().step(x, h, weight_ih, weight_hh, bias_ih, bias_hh.detach())


class NoStateBias(OneBias):
    """No second bias at all."""

    def read(self):
        layers = super().read()
        return [{**one, "bias_hh": torch.zeros_like(one["bias_ih"])} for one in layers]


class ThreeBiases(Fused):
    """A third bias, of both, is added to the input's."""

    def make(self, sizes):
        h = self.hidden_size
        self.cells = cells_of(sizes[0], h, len(sizes))
        self.both = nn.ParameterList(torch.rand(3 * h) - 0.5 for _ in sizes)

    def read(self):
        return [
            {**dict(cell.named_parameters()), "bias_ih": cell.bias_ih + both}
            for cell, both in zip(self.cells, self.both, strict=True)
        ]


class ThreeBiasesTwice(ThreeBiases):
    """It is added to the state's as well."""

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        return super().step(x, h, weight_ih, weight_hh, bias_ih, bias_hh + self.both[0])
