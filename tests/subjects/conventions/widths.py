"""Right stacks whose constructors take their widths in other ways."""

from __future__ import annotations

import torch
from torch import nn

from stackgru import StackingGRUCell


class EqualWidths(StackingGRUCell):
    """Every layer is built for the width of the input, as if that were the state's."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.grus = nn.ModuleList(nn.GRUCell(input_size, hidden_size) for _ in self.grus)

    def forward(self, input, h0):
        return super().forward(input, h0)[1]


class ListedWidths(StackingGRUCell):
    """A width for each layer."""

    def __init__(self, input_size, hidden_size, bias=True):
        hidden_size, *others = hidden_size
        super().__init__(input_size, hidden_size, 1 + len(others), bias=bias)


class SummedWidths(StackingGRUCell):
    """The widths of all layers together."""

    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size // num_layers, num_layers)


class SecondWidthUnused(nn.Module):
    """A cell of Linears of one width, whatever the second argument is."""

    def __init__(self, width, _):
        super().__init__()
        self.of_input = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.of_state = nn.ModuleList(nn.Linear(width, width) for _ in range(3))

    def forward(self, x, h):
        (r, z, n), (hr, hz, hn) = (
            [one(value) for one in part] for part, value in ((self.of_input, x), (self.of_state, h))
        )
        r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
        return (1 - z) * torch.tanh(n + r * hn) + z * h
