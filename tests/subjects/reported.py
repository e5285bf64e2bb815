"""Modules after public reports: right ones that were accused, and what is only refused."""

from __future__ import annotations

import torch
from torch import nn

from stackgru import StackingGRUCell


class NeedsBias(nn.GRU):
    """Its constructor has bias for the sake of nn.GRU's signature, and refuses False."""

    def __init__(self, input_size, hidden_size, num_layers=1, bias=True):
        assert bias
        super().__init__(input_size, hidden_size, num_layers)


class SinglePrecision(StackingGRUCell):
    """Right in float32; new states are written into a buffer of the default dtype."""

    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size, num_layers)

    def forward(self, input, h0):
        new = torch.zeros(h0.size())
        for layer, cell in enumerate(self.grus):
            input = new[layer] = cell(input, h0[layer])
        return input, new


class CutOff(StackingGRUCell):
    """Right values; the state is cut off from its history."""

    def forward(self, input, h0):
        return super().forward(input, h0.detach())


class _OneCell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x: torch.Tensor, h: torch.Tensor):
        new = self.cell(x, h[0])
        return new, new.unsqueeze(0)


def scripted(input_size, hidden_size):
    """A TorchScript module."""
    return torch.jit.script(_OneCell(input_size, hidden_size))


class RefusesAnEmptyBatch(StackingGRUCell):
    """Raises for a batch of no rows."""

    def forward(self, input, h0):
        if not len(input):
            raise ValueError("no rows")
        return super().forward(input, h0)


class EvalReturnsNone(StackingGRUCell):
    """Its eval() and train() return nothing."""

    def train(self, mode=True):
        super().train(mode)

    def eval(self):
        super().eval()


class CopiesWithoutLeaves(StackingGRUCell):
    """A deepcopy computes its parameters from the old ones, and cannot be trained."""

    def __deepcopy__(self, memo):
        new = type(self)(self.input_size, self.hidden_size, self.num_layers, self.dropout.p)
        new.to(self.grus[0].weight_ih.dtype)
        new.train(self.training)
        with torch.enable_grad():
            for cell, old in zip(new.grus, self.grus, strict=True):
                cell._parameters = {name: value * 1 for name, value in old.named_parameters()}
        return new


class OtherEquation(StackingGRUCell):
    """No GRU: its new state is larger by a thousand, which rounds by a thousand times as much."""

    def forward(self, input, h0):
        output, hn = super().forward(input, h0 - 1000)
        return output + 1000, hn + 1000
