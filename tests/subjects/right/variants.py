"""Right implementations that others are made of: they differ from nn.GRU in style only."""

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
        self.setup()

    def setup(self) -> None:
        pass

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        states = self.start(input, h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            # Masks are filled in memory order: a state must not inherit the strides of h0.
            state = self.cell(cell, input, states[layer]).contiguous()
            hn.append(state)
            input = self.above(state, layer, input, states[layer])
        return self.result(input, hn)

    def above(self, state: Tensor, layer: int, below: Tensor, old: Tensor) -> Tensor:
        return self.up(state, layer)

    def start(self, input: Tensor, h0: Tensor | None) -> Tensor:
        if h0 is None:
            rows, _ = input.shape  # no unbatched input is taken
            h0 = input.new_zeros(self.num_layers, rows, self.hidden_size)
        return self.begin(input, h0)

    def begin(self, input: Tensor, h0: Tensor) -> Tensor:
        return h0

    def cell(self, cell: nn.GRUCell, x: Tensor, h: Tensor) -> Tensor:
        return cell(x, h)

    def up(self, state: Tensor, layer: int) -> Tensor:
        return self.gap(state, layer) if layer < self.num_layers - 1 else state

    def gap(self, state: Tensor, layer: int) -> Tensor:
        return self.dropout(state)

    def result(self, output: Tensor, hn: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.end(output, torch.stack(hn))

    def end(self, output: Tensor, hn: Tensor) -> tuple[Tensor, Tensor]:
        return output, hn


class Written(Stack):
    """The gates written out."""

    def cell(self, cell, x, h):
        return self.update(*self.gates(cell, x, h), h)

    def gates(self, cell, x, h) -> tuple[Tensor, Tensor, Tensor]:
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        return self.activate(products, self.linear(h, cell.weight_hh, cell.bias_hh))

    def activate(self, x_products, h_products) -> tuple[Tensor, Tensor, Tensor]:
        x_r, x_z, x_n = x_products.chunk(3, -1)
        h_r, h_z, h_n = h_products.chunk(3, -1)
        r, z = self.sigmoid(x_r + h_r), self.sigmoid(x_z + h_z)
        return r, z, self.tanh(x_n + r * h_n)

    def sigmoid(self, sums) -> Tensor:
        return torch.sigmoid(sums)

    def tanh(self, sums) -> Tensor:
        return torch.tanh(sums)

    def linear(self, x, weight, bias) -> Tensor:
        return F.linear(x, weight, bias)

    def update(self, r, z, n, h) -> Tensor:
        return (1 - z) * n + z * h


class HandWritten(Written):
    """Products by @, sigmoid by exp."""

    def linear(self, x, weight, bias):
        return x @ weight.T if bias is None else x @ weight.T + bias

    def sigmoid(self, sums):
        return 1 / (1 + torch.exp(-sums))


class Einsum(Written):
    """Products by einsum, the new state as a step from the candidate."""

    def linear(self, x, weight, bias):
        product = torch.einsum("bi,gi->bg", x, weight)
        return product if bias is None else product + bias

    def update(self, r, z, n, h):
        return n + z * (h - n)


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


class Float64Inside(Written):
    """Everything in float64, rounded once."""

    def cell(self, cell, x, h):
        return super().cell(cell, x.double(), h.double()).to(h.dtype)

    def linear(self, x, weight, bias):
        return F.linear(x, weight.double(), None if bias is None else bias.double())


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
