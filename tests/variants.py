"""Right implementations that differ from nn.GRU in rounding or style only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stack(nn.Module):
    """The seed's loop over nn.GRUCell, in parts that variants and faults replace."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.cells = nn.ModuleList(
            nn.GRUCell(hidden_size if layer else input_size, hidden_size, bias)
            for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        states = self.start(input, h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            state = self.cell(cell, input, states[layer])
            hn.append(state)
            input = self.up(state, layer)
        return self.result(input, hn)

    def start(self, input: Tensor, h0: Tensor | None) -> Tensor:
        if h0 is None:
            return input.new_zeros(self.num_layers, input.shape[0], self.hidden_size)
        # A cell's result inherits the strides of its state, and a mask is filled in memory order.
        return h0.contiguous()

    def cell(self, cell: nn.GRUCell, x: Tensor, h: Tensor) -> Tensor:
        return cell(x, h)

    def up(self, state: Tensor, layer: int) -> Tensor:
        return self.dropout(state) if layer < self.num_layers - 1 else state

    def result(self, output: Tensor, hn: list[Tensor]) -> tuple[Tensor, Tensor]:
        return output, torch.stack(hn)


class Written(Stack):
    """The gates written out."""

    def cell(self, cell, x, h):
        return self.update(*self.gates(cell, x, h), h)

    def gates(self, cell, x, h) -> tuple[Tensor, Tensor, Tensor]:
        x_r, x_z, x_n = self.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, -1)
        h_r, h_z, h_n = self.linear(h, cell.weight_hh, cell.bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return r, z, torch.tanh(x_n + r * h_n)

    def linear(self, x, weight, bias) -> Tensor:
        return F.linear(x, weight, bias)

    def update(self, r, z, n, h) -> Tensor:
        return (1 - z) * n + z * h


class HandWritten(Written):
    """Products by @, sigmoid by exp."""

    def linear(self, x, weight, bias):
        return x @ weight.T if bias is None else x @ weight.T + bias

    def gates(self, cell, x, h):
        x_r, x_z, x_n = self.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, -1)
        h_r, h_z, h_n = self.linear(h, cell.weight_hh, cell.bias_hh).chunk(3, -1)
        r, z = (1 / (1 + torch.exp(-(a + b))) for a, b in ((x_r, h_r), (x_z, h_z)))
        return r, z, torch.tanh(x_n + r * h_n)


class Einsum(Written):
    """Products by einsum, the new state as a step from the old."""

    def linear(self, x, weight, bias):
        product = torch.einsum("bi,gi->bg", x, weight)
        return product if bias is None else product + bias

    def update(self, r, z, n, h):
        return h + (1 - z) * (n - h)


class Concatenated(Written):
    """One product of input and state for the two gates that allow it."""

    def gates(self, cell, x, h):
        gates = 2 * self.hidden_size
        both = torch.cat([cell.weight_ih, cell.weight_hh], 1)[:gates]
        sums = torch.cat([x, h], -1) @ both.T
        x_n, h_n = x @ cell.weight_ih[gates:].T, h @ cell.weight_hh[gates:].T
        if cell.bias:
            sums = sums + (cell.bias_ih + cell.bias_hh)[:gates]
            x_n, h_n = x_n + cell.bias_ih[gates:], h_n + cell.bias_hh[gates:]
        r, z = torch.sigmoid(sums).chunk(2, -1)
        return r, z, torch.tanh(x_n + r * h_n)

    def update(self, r, z, n, h):
        return n + z * (h - n)


class Float64Inside(Written):
    """Everything in float64, rounded once."""

    def cell(self, cell, x, h):
        return super().cell(cell, x.double(), h.double()).to(h.dtype)

    def linear(self, x, weight, bias):
        return F.linear(x, weight.double(), None if bias is None else bias.double())


class Lerp(Written):
    """The new state by torch.lerp."""

    def update(self, r, z, n, h):
        return torch.lerp(h, n, 1 - z)


class ProductsSummed(Written):
    """Products one by one, then a sum: in half precision each product is rounded."""

    def linear(self, x, weight, bias):
        product = (x.unsqueeze(-2) * weight).sum(-1)
        return product if bias is None else product + bias


class MasksAtOnce(Stack):
    """The masks of all gaps of a step in one draw; the same numbers where a draw can be split."""

    def forward(self, input, h0=None):
        gaps = input.new_ones(self.num_layers - 1, len(input), self.hidden_size)
        self.masks = self.dropout(gaps)
        return super().forward(input, h0)

    def up(self, state, layer):
        return state * self.masks[layer] if layer < self.num_layers - 1 else state


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
        h = h.contiguous()  # see Stack.start
        new = []
        for layer in range(self.n_layers):
            if layer:
                x = F.dropout(x, self.p, self.training)
            weights = [
                getattr(self, f"{name}_{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            x = torch._VF.gru_cell(x, h[layer], *weights)
            new.append(x)
        return x, torch.stack(new)


class LayerByLayer(Written):
    """A sequence module: each layer over all steps, then dropout on all of its outputs."""

    def forward(self, input, h0=None):
        states = self.start(input[0], h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            outputs, state = [], states[layer]
            for x in input:
                state = self.cell(cell, x, state)
                outputs.append(state)
            hn.append(state)
            input = self.up(torch.stack(outputs), layer)
        return self.result(input, hn)


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
        return super().up(state.transpose(0, 1).contiguous(), layer).transpose(0, 1)


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


RIGHT_CELLS = (
    Stack,
    HandWritten,
    Einsum,
    Concatenated,
    Float64Inside,
    Lerp,
    ProductsSummed,
    OwnParameters,
)
RIGHT_SEQUENCES = (LayerByLayer, StepByStep, BatchFirstInside, OneLayerModules, nn.GRU)
