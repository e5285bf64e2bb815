"""Cells that compute what nn.GRU does, on parameters that are not those of nn.GRU."""

from __future__ import annotations

import torch
from torch import nn

from tests.subjects.right.variants import Stack, Written


class UnusedGain(Stack):
    """A gain that is not in use is a parameter."""

    def setup(self):
        self.gain = nn.Parameter(torch.ones(self.hidden_size))


class ConstantIsAParameter(Stack):
    """A one that it multiplies by is a parameter that requires no gradients."""

    def setup(self):
        self.one = nn.Parameter(torch.ones(()), requires_grad=False)

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * self.one


class OneBiasForBoth(Stack):
    """The input's bias and the state's are one parameter."""

    def setup(self):
        for cell in self.cells:
            cell.bias_hh = cell.bias_ih


class StateBiasesFrozen(Stack):
    """The state's biases, of which the input's are held to be enough, require no gradients."""

    def setup(self):
        for cell in self.cells:
            if cell.bias:
                cell.bias_hh.requires_grad_(False)


class LearnsItsFirstState(Stack):
    """The zeros that it starts from without a state are a parameter."""

    def setup(self):
        self.first = nn.Parameter(torch.zeros(self.num_layers, 1, self.hidden_size))

    def start(self, input, h0):
        return self.first.expand(-1, len(input), -1) if h0 is None else super().start(input, h0)


class NoProductWithoutAState(Written):
    """Without a state its product is left out, and its weights get no gradient in place of zero."""

    def start(self, input, h0):
        self.fresh = h0 is None
        return super().start(input, h0)

    def linear(self, x, weight, bias):
        of_state = any(weight is cell.weight_hh for cell in self.cells)
        if self.fresh and of_state and bias is not None:
            return bias.expand(len(x), -1)
        return super().linear(x, weight, bias)


class BiasesThoughUnwanted(Stack):
    """Without biases it has them all the same: zeros, which are trained."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        for name, parameter in self.named_parameters():
            if "bias" in name and not bias:
                nn.init.zeros_(parameter)


class LastBiasIsABuffer(Stack):
    """The last layer's bias of the state is a buffer."""

    def setup(self):
        last = self.cells[-1]
        if last.bias:
            bias_hh = last.bias_hh.detach().clone()
            del last.bias_hh
            last.register_buffer("bias_hh", bias_hh)
