"""Right stacks whose constructors take their widths in other ways."""

from __future__ import annotations

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
