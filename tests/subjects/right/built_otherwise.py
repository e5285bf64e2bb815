"""Right cells as others build them: of other modules, and with their weights held in other ways."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects import classes_in
from tests.subjects.right.variants import Stack


class _DropsItsInput(nn.GRUCell):
    def __init__(self, input_size, hidden_size, bias, rate):
        super().__init__(input_size, hidden_size, bias)
        self.drop = nn.Dropout(rate)

    def forward(self, input, hx=None):
        return super().forward(self.drop(input.contiguous()), hx)


class DropsAtTheInput(Stack):
    """Each cell drops its own input, the first at rate 0."""

    def setup(self):
        sizes = [(cell.input_size, cell.hidden_size, cell.bias) for cell in self.cells]
        rates = [0.0] + [self.dropout.p] * (len(sizes) - 1)
        cells = (_DropsItsInput(*size, rate) for size, rate in zip(sizes, rates, strict=True))
        self.cells, self.dropout = nn.ModuleList(cells), None

    def up(self, state, layer):
        return state


class _Level(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, dropout, bias):
        super().__init__()
        above = (hidden_size, hidden_size, num_layers - 1, dropout, bias)
        self.cell = nn.GRUCell(input_size, hidden_size, bias)
        self.drop = nn.Dropout(dropout)
        self.above = _Level(*above) if num_layers > 1 else None

    def forward(self, x, states):
        state = self.cell(x, states[0]).contiguous()
        return [state, *(self.above(self.drop(state), states[1:]) if self.above else ())]


class LayersThatHoldTheNext(nn.Module):
    """Each layer holds the layer above it and calls it."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.num_layers, self.hidden_size = num_layers, hidden_size
        self.bottom = _Level(input_size, hidden_size, num_layers, dropout, bias)

    def forward(self, x, h=None):
        if h is None:
            h = x.new_zeros(self.num_layers, len(x), self.hidden_size)
        states = self.bottom(x, h)
        return states[-1], torch.stack(states)


class _Block(nn.Module):
    def __init__(self, input_size, hidden_size, rate, bias):
        super().__init__()
        self.drop = nn.Dropout(rate)
        self.gates_of_x = nn.Linear(input_size, 3 * hidden_size, bias)
        self.gates_of_h = nn.Linear(hidden_size, 3 * hidden_size, bias)

    def forward(self, passed):
        x, old, new = passed
        gates = 3, old.shape[-1]
        x = self.gates_of_x(self.drop(x)).unflatten(-1, gates)
        h = self.gates_of_h(old[0]).unflatten(-1, gates)
        r, z = (x[:, :2] + h[:, :2]).sigmoid().unbind(1)
        state = torch.tanh(x[:, 2] + r * h[:, 2]) * (1 - z) + old[0] * z
        return state.contiguous(), old[1:], (*new, state)


class BlocksInSequence(nn.Sequential):
    """An nn.Sequential whose blocks hand on the states, with two linear layers in each."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        above = [(hidden_size, hidden_size, dropout, bias)] * (num_layers - 1)
        blocks = [_Block(*sizes) for sizes in [(input_size, hidden_size, 0.0, bias), *above]]
        super().__init__(*blocks)
        self.hidden_size = hidden_size

    def forward(self, x, h=None):
        if h is None:
            h = x.new_zeros(len(self), len(x), self.hidden_size)
        output, _, new = super().forward((x, h, ()))
        return output, torch.stack(new)


@dataclass(frozen=True)
class _Config:
    input_size: int
    hidden_size: int
    num_layers: int
    dropout: float
    bias: bool

    def sizes(self):
        return [self.input_size] + [self.hidden_size] * (self.num_layers - 1)


class _Configured(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.config = _Config(input_size, hidden_size, num_layers, dropout, bias)
        self.drop = functools.partial(F.dropout, p=dropout)
        self.build()

    def forward(self, x, h=None):
        if h is None:
            h = x.new_zeros(self.config.num_layers, len(x), self.config.hidden_size)
        new = []
        for layer, old in enumerate(h.unbind()):
            x = self.drop(new[-1], training=self.training) if new else x
            new.append(self.step(layer, x, old).contiguous())
        return new[-1], torch.stack(new)


def _parameter(*shape):
    return nn.Parameter(torch.empty(shape).uniform_(-0.4, 0.4))


class DictOfParameters(_Configured):
    """An nn.ParameterDict for each layer, and a function of torch that takes its values."""

    def build(self):
        self.layers = nn.ModuleList()
        for size in self.config.sizes():
            cell = nn.GRUCell(size, self.config.hidden_size, self.config.bias)
            self.layers.append(nn.ParameterDict(dict(cell.named_parameters())))

    def step(self, layer, x, h):
        weights = {
            name.replace("weight", "w").replace("bias", "b"): value
            for name, value in self.layers[layer].items()
        }
        return torch.gru_cell(x, h, **weights)


class KernelsTransposed(_Configured):
    """Kernels of (inputs, gates), with the gates in the order z, r, n."""

    def build(self):
        hidden = self.config.hidden_size
        for layer, size in enumerate(self.config.sizes()):
            setattr(self, f"kernel_{layer}", _parameter(size, 3 * hidden))
            setattr(self, f"recurrent_kernel_{layer}", _parameter(hidden, 3 * hidden))
            if self.config.bias:
                setattr(self, f"kernel_bias_{layer}", _parameter(3 * hidden))
                setattr(self, f"recurrent_bias_{layer}", _parameter(3 * hidden))

    def step(self, layer, x, h):
        x, h_products = (
            value @ getattr(self, f"{name}kernel_{layer}")
            for name, value in (("", x), ("recurrent_", h))
        )
        if self.config.bias:
            x = x + getattr(self, f"kernel_bias_{layer}")
            h_products = h_products + getattr(self, f"recurrent_bias_{layer}")
        x_z, x_r, x_n = x.chunk(3, -1)
        h_z, h_r, h_n = h_products.chunk(3, -1)
        z = torch.sigmoid(x_z + h_z)
        return z * h + (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)


class _Joint(nn.Module):
    def __init__(self, input_size, hidden_size, bias):
        super().__init__()
        self.input_size = input_size
        self.matrix = _parameter(3 * hidden_size, input_size + hidden_size)
        self.bias_of_x = _parameter(3 * hidden_size) if bias else None
        self.bias_of_h = _parameter(3 * hidden_size) if bias else None

    @property
    def of_x(self):
        return self.matrix[:, : self.input_size], self.bias_of_x

    @property
    def of_h(self):
        return self.matrix[:, self.input_size :], self.bias_of_h


class OneMatrixPerLayer(_Configured):
    """Properties read the weights of input and state from one matrix."""

    def build(self):
        sizes = self.config.hidden_size, self.config.bias
        self.joint = nn.ModuleList(_Joint(size, *sizes) for size in self.config.sizes())

    def step(self, layer, x, h):
        joint = self.joint[layer]
        r_x, z_x, n_x = F.linear(x, *joint.of_x).chunk(3, -1)
        r_h, z_h, n_h = F.linear(h, *joint.of_h).chunk(3, -1)
        return torch.lerp(torch.tanh(n_x + (r_x + r_h).sigmoid() * n_h), h, (z_x + z_h).sigmoid())


class _Gate(nn.Module):
    def __init__(self, input_size, hidden_size, bias):
        super().__init__()
        self.of_x = nn.Linear(input_size, hidden_size, bias)
        self.of_h = nn.Linear(hidden_size, hidden_size, bias)

    def forward(self, x, h, reset=1):
        return self.of_x(x) + reset * self.of_h(h)


class GatesAsModules(_Configured):
    """A module for each gate, of two linear layers."""

    def build(self):
        sizes = [(size, self.config.hidden_size, self.config.bias) for size in self.config.sizes()]
        self.reset, self.update, self.new = (
            nn.ModuleList(_Gate(*size) for size in sizes) for _ in range(3)
        )

    def step(self, layer, x, h):
        r, z = torch.sigmoid(self.reset[layer](x, h)), torch.sigmoid(self.update[layer](x, h))
        return (1 - z) * torch.tanh(self.new[layer](x, h, r)) + z * h


class GatesConcatenated(GatesAsModules):
    """The matrices of the gates are concatenated at each call, for one product."""

    def step(self, layer, x, h):
        gates = [self.reset[layer], self.update[layer], self.new[layer]]
        weights = []
        for side in ("of_x", "of_h"):
            weights.append(torch.cat([getattr(gate, side).weight for gate in gates]))
        for side in ("of_x", "of_h") if self.config.bias else ():
            weights.append(torch.cat([getattr(gate, side).bias for gate in gates]))
        return torch.gru_cell(x, h, *weights)


class _ThroughIdentity(nn.GRUCell):
    def __init__(self, input_size, hidden_size, bias):
        super().__init__(input_size, hidden_size, bias)
        self.quantize = nn.Identity()

    def forward(self, input, hx=None):
        weights = self.quantize(self.weight_ih), self.quantize(self.weight_hh)
        return torch.gru_cell(input, hx, *weights, self.bias_ih, self.bias_hh)


class NothingQuantized(_Configured):
    """The weights go through the place where a quantiser would be."""

    def build(self):
        sizes = self.config.hidden_size, self.config.bias
        self.cells = nn.ModuleList(_ThroughIdentity(size, *sizes) for size in self.config.sizes())

    def step(self, layer, x, h):
        return self.cells[layer](x, h)


class StateRowFirst(_Configured):
    """The state is (B, L, H) inside."""

    def build(self):
        sizes = self.config.hidden_size, self.config.bias
        self.cells = nn.ModuleList(nn.GRUCell(size, *sizes) for size in self.config.sizes())

    def forward(self, x, h=None):
        shape = len(x), self.config.num_layers, self.config.hidden_size
        rows = x.new_zeros(shape) if h is None else h.transpose(0, 1).contiguous()
        new = []
        for layer, cell in enumerate(self.cells):
            x = self.drop(new[-1], training=self.training) if new else x
            new.append(cell(x, rows[:, layer]).contiguous())
        return new[-1], torch.stack(new, 1).transpose(0, 1).contiguous()


class CellOfGRU(nn.GRU):
    """A subclass of nn.GRU that makes one step."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, bias, dropout=dropout)

    def forward(self, input, hx=None):
        if hx is None:
            hx = input.new_zeros(self.num_layers, len(input), self.hidden_size)
        new = []
        for old, weights in zip(hx, self.all_weights, strict=True):
            below = F.dropout(new[-1], self.dropout, self.training) if new else input
            new.append(torch.gru_cell(below, old, *weights).contiguous())
        return new[-1], torch.stack(new)


CELLS = tuple(one for one in classes_in(__name__) if one.__doc__)
