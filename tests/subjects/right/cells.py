"""Right cells that differ from nn.GRU in rounding or style only, and the list of all of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects import classes_in
from tests.subjects.right import built_otherwise, otherwise, variants
from tests.subjects.right.variants import Float64Inside, Stack, Written


class Lerp(Written):
    """The new state by torch.lerp; an infinite state gives NaN, where nn.GRU may keep it."""

    def update(self, r, z, n, h):
        return torch.lerp(h, n, 1 - z)


class StepFromTheOld(Written):
    """The new state as a step from the old; an infinite state gives NaN, as in Lerp."""

    def update(self, r, z, n, h):
        return h + (1 - z) * (n - h)


class PerGate(Written):
    """A linear function for each gate, on its own part of the weights."""

    def gates(self, cell, x, h):
        none = (None,) * 3
        bias_ih, bias_hh = (
            (cell.bias_ih.chunk(3), cell.bias_hh.chunk(3)) if cell.bias else [none] * 2
        )
        x_r, x_z, x_n = map(F.linear, (x, x, x), cell.weight_ih.chunk(3), bias_ih)
        h_r, h_z, h_n = map(F.linear, (h, h, h), cell.weight_hh.chunk(3), bias_hh)
        r, z = torch.sigmoid(h_r + x_r), torch.sigmoid(h_z + x_z)
        return r, z, torch.tanh(r * h_n + x_n)


class Addcmul(Written):
    """The candidate and the new state by addcmul."""

    def activate(self, x_products, h_products):
        x_gates, x_n = x_products.tensor_split([2 * self.hidden_size], -1)
        h_gates, h_n = h_products.tensor_split([2 * self.hidden_size], -1)
        r, z = torch.sigmoid(x_gates + h_gates).chunk(2, -1)
        return r, z, torch.tanh(torch.addcmul(x_n, r, h_n))

    def update(self, r, z, n, h):
        return torch.addcmul((1 - z) * n, z, h)


class Batched(Written):
    """The products of the three gates as a batch of three."""

    def linear(self, x, weight, bias):
        weights = weight.unflatten(0, (3, self.hidden_size)).transpose(1, 2)
        x = x.expand(3, *x.shape)
        if bias is None:
            products = torch.bmm(x, weights)
        else:
            products = torch.baddbmm(bias.view(3, 1, -1), x, weights)
        return products.transpose(0, 1).flatten(1)


class Transposed(Written):
    """Rows are columns inside, and what the state is has their strides."""

    def linear(self, x, weight, bias):
        product = weight @ x.t()
        return product.T if bias is None else (product + bias.unsqueeze(1)).T


class RowByRow(Written):
    """Every row by itself."""

    def cell(self, cell, x, h):
        rows = [
            super(RowByRow, self).cell(cell, *row)
            for row in zip(x.split(1), h.split(1), strict=True)
        ]
        return torch.cat(rows)


class BatchInHalves(Stack):
    """Half of the rows at a time."""

    def cell(self, cell, x, h):
        halves = zip(x.tensor_split(2), h.tensor_split(2), strict=True)
        return torch.cat([cell(*half) for half in halves])


class OwnDropout(Stack):
    """Dropout by hand, from bernoulli_ on new memory."""

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p == 0:
            return state
        if p == 1:
            return state * 0
        return state * state.new_empty(state.shape).bernoulli_(1 - p).div_(1 - p)


class Preallocated(Stack):
    """The states are written into one tensor, made beforehand."""

    def result(self, output, hn):
        joined = output.new_empty(self.num_layers, *output.shape)
        for layer, state in enumerate(hn):
            joined[layer] = state
        return output, joined


class FusedCall(Stack):
    """One fused call of length one, on the parameters of the cells."""

    def forward(self, input, h0=None):
        has_bias = self.cells[0].bias
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if has_bias else 2]
        weights = [getattr(cell, name) for cell in self.cells for name in names]
        shape = has_bias, self.num_layers, self.dropout.p, self.training, False, False
        h0 = self.start(input, h0)
        output, hn = torch._VF.gru(input.unsqueeze(0), h0, weights, *shape)
        return output.squeeze(0), hn


class InnerGRU(nn.Module):
    """nn.GRU itself, called with one step."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, num_layers, bias, dropout=dropout)

    def forward(self, input, h0=None):
        output, hn = self.gru(input.unsqueeze(0), h0)
        return output.squeeze(0), hn


class NamedLayers(nn.Module):
    """Cells in a ModuleDict, and a list of states."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.layers = nn.ModuleDict({"first": nn.GRUCell(input_size, hidden_size, bias)})
        for layer in range(1, num_layers):
            self.layers[f"next{layer}"] = nn.GRUCell(hidden_size, hidden_size, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, states):
        states = list(states.contiguous().unbind())
        for layer, cell in enumerate(self.layers.values()):
            below = self.drop(states[layer - 1]) if layer else x
            states[layer] = cell(below, states[layer])
        return states[-1], torch.stack(states)


class ParameterLists(nn.Module):
    """A ParameterList of each kind of parameter, and functions only."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        cells = [nn.GRUCell(size, hidden_size) for size in sizes]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(self, name, nn.ParameterList(getattr(cell, name) for cell in cells))
        self.rate = dropout

    def forward(self, x, h):
        new = []
        weights = zip(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, strict=True)
        for layer, (w_ih, w_hh, b_ih, b_hh) in enumerate(weights):
            if layer:
                x = F.dropout(x.contiguous(), self.rate, self.training)
            gates = torch.cat([F.linear(x, w_ih, b_ih), F.linear(h[layer], w_hh, b_hh)], -1)
            x_r, x_z, x_n, h_r, h_z, h_n = gates.chunk(6, -1)
            z = torch.sigmoid(x_z + h_z)
            x = z * h[layer] + (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
            new.append(x)
        return x, torch.stack(new)


class OwnParameters(nn.Module):
    """Parameters of its own, numbered, in place of cells; functional dropout."""

    def __init__(self, n_in, n_hidden, n_layers, p):
        super().__init__()
        self.n_layers, self.p = n_layers, p
        for layer in range(n_layers):
            width = n_hidden if layer else n_in
            for name, shape in (
                ("weight_ih", (3 * n_hidden, width)),
                ("weight_hh", (3 * n_hidden, n_hidden)),
                ("bias_ih", (3 * n_hidden,)),
                ("bias_hh", (3 * n_hidden,)),
            ):
                self.register_parameter(f"{name}_{layer}", nn.Parameter(torch.rand(shape) - 0.5))

    def forward(self, x, h):
        new = []
        for layer in range(self.n_layers):
            if layer:
                x = F.dropout(x.contiguous(), self.p, self.training)
            weights = [
                getattr(self, f"{name}_{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            x = torch._VF.gru_cell(x, h[layer], *weights)
            new.append(x)
        return x, torch.stack(new)


class SigmoidByTanh(Written):
    """The sigmoid by the tanh of half its argument."""

    def sigmoid(self, sums):
        return (torch.tanh(sums / 2) + 1) / 2


class OppositeSigmoids(Written):
    """1 - z as the sigmoid of the opposite sum, whose rounding is its own."""

    def activate(self, x_products, h_products):
        r, _, n = super().activate(x_products, h_products)
        return r, x_products.chunk(3, -1)[1] + h_products.chunk(3, -1)[1], n

    def update(self, r, z, n, h):
        return torch.sigmoid(-z) * n + torch.sigmoid(z) * h


class WholeInFloat64(Float64Inside):
    """All layers in float64; only what is shown is rounded."""

    def forward(self, input, h0=None):
        h0 = self.start(input, h0)
        output, hn = super().forward(input.double(), h0.double())
        return output.to(input.dtype), hn.to(input.dtype)


class SigmoidByLogarithm(Written):
    """The sigmoid as the exponential of its logarithm."""

    def sigmoid(self, sums):
        return F.logsigmoid(sums).exp()


RIGHT_CELLS = (*classes_in(variants.__name__, __name__), *otherwise.CELLS, *built_otherwise.CELLS)
