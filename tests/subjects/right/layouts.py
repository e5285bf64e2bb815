"""Right sequence modules with the whole interface of nn.GRU.

Batch first, unbatched, packed and bidirectional, each as nn.GRU has it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import PackedSequence


class Whole(nn.Module):
    """nn.GRU written out: the same names of parameters, and the same layouts."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
    ):
        super().__init__()
        self.hidden_size, self.num_layers, self.dropout = hidden_size, num_layers, dropout
        self.batch_first = batch_first
        self.directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            width = hidden_size * len(self.directions) if layer else input_size
            for direction in self.directions:
                cell = nn.GRUCell(width, hidden_size, bias)
                for name, parameter in cell.named_parameters():
                    self.register_parameter(f"{name}_l{layer}{direction}", parameter)

    def forward(self, input, h0=None):
        if isinstance(input, PackedSequence):
            return self.packed(input, h0)
        return self.batched(input, h0) if input.dim() == 3 else self.unbatched(input, h0)

    def packed(self, input, h0):
        data, sizes, to_sorted, to_unsorted = input
        if h0 is not None:
            h0 = self.permuted(h0, to_sorted)
        steps, hn = self.layers(data.split(sizes.tolist()), h0)
        output = PackedSequence(torch.cat(steps), sizes, to_sorted, to_unsorted)
        return output, self.permuted(hn, to_unsorted)

    def permuted(self, state, order):
        return state if order is None else state.index_select(1, order)

    def batched(self, input, h0):
        if self.batch_first:
            input = input.transpose(0, 1)
        steps, hn = self.layers(input.unbind(), h0)
        return torch.stack(steps, 1 if self.batch_first else 0), hn

    def unbatched(self, input, h0):
        h0 = None if h0 is None else h0.unsqueeze(1)
        steps, hn = self.layers(input.unsqueeze(1).unbind(), h0)
        return torch.cat(steps), hn.squeeze(1)

    def layers(self, steps, h0):
        """All layers over steps that may have fewer and fewer rows."""
        h0 = self.zeros(steps[0]) if h0 is None else h0
        hn = []
        for layer in range(self.num_layers):
            if layer:
                steps = self.dropped(steps)
            ways = []
            for direction in self.directions:
                way, state = self.over_time(steps, h0[len(hn)], layer, direction)
                ways.append(way)
                hn.append(state)
            steps = [torch.cat(step, -1) for step in zip(*ways, strict=True)]
        return steps, torch.stack(hn)

    def zeros(self, x):
        return x.new_zeros(self.num_layers * len(self.directions), len(x), self.hidden_size)

    def dropped(self, steps):
        if len({len(step) for step in steps}) == 1:
            return F.dropout(torch.stack(steps), self.dropout, self.training).unbind()
        sizes = [len(step) for step in steps]
        return F.dropout(torch.cat(steps), self.dropout, self.training).split(sizes)

    def over_time(self, steps, state, layer, direction):
        """One direction of one layer; a row without input at a step keeps its state."""
        outputs = []
        for x in reversed(steps) if direction else steps:
            output = self.cell(x, state[: len(x)], layer, direction)
            state = torch.cat([output, state[len(x) :]])
            outputs.append(output)
        return (outputs[::-1] if direction else outputs), state

    def cell(self, x, h, layer, direction):
        return torch._VF.gru_cell(x, h, *self.weights(layer, direction))

    def weights(self, layer, direction):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self, f"{name}_l{layer}{direction}", None) for name in names]


class Renamed(nn.GRU):
    """nn.GRU itself, with its arguments in another order."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        dropout=0.0,
        bias=True,
        batch_first=False,
        bidirectional=False,
    ):
        options = (bias, batch_first, dropout, bidirectional)
        super().__init__(input_size, hidden_size, num_layers, *options)


class Holding(nn.Module):
    """A module that holds an nn.GRU and hands everything on to it."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True, **layouts):
        super().__init__()
        self.rnn = nn.GRU(
            input_size, hidden_size, num_layers, bias=bias, dropout=dropout, **layouts
        )

    def forward(self, input, h0=None):
        return self.rnn(input, h0)


class DropIn(Whole):
    """Built, called and loaded as nn.GRU is."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        options = (bias, batch_first, dropout, bidirectional)
        super().__init__(input_size, hidden_size, num_layers, *options)
        self.input_size, self.bias, self.bidirectional = input_size, bias, bidirectional
        self.to(device=device, dtype=dtype)

    def forward(self, input, hx=None):
        return super().forward(input, hx)

    def flatten_parameters(self):
        pass

    def extra_repr(self):
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"
