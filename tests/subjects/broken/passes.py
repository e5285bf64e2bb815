"""Cells whose first backward pass is right, and not the second, or not after something else."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack


class FreesItsMasks(Stack):
    """A second backward pass over a graph that was retained finds the masks gone."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer) * 1
        if dropped.requires_grad:
            passes = iter([1])
            dropped.register_hook(
                lambda slope: slope if torch.is_grad_enabled() else slope * next(passes, 0)
            )
        return dropped


class BackwardTakesTheLastMasks(Stack):
    """A backward pass drops by the masks of the last call, whichever call it goes through."""

    def setup(self):
        self.masks = {}

    def gap(self, state, layer):
        self.masks[layer] = self.dropout(torch.ones_like(state))
        dropped = state * self.masks[layer]
        if dropped.requires_grad:
            dropped.register_hook(lambda slope: slope * (self.masks[layer] != 0))
        return dropped


class ClipsAtInfinity(Stack):
    """hn is the output clipped at infinity, so that its gradient needs the output unchanged."""

    def result(self, output, hn):
        return super().result(output, [*hn[:-1], output.clamp(-torch.inf, torch.inf)])


class ForgetsGradientsThatAreThere(Stack):
    """Every call in training takes away the gradients that the weights have."""

    def start(self, input, h0):
        if self.training:
            for parameter in self.parameters():
                parameter.grad = None
        return super().start(input, h0)


class GradientsThatAreThereCountTwice(Stack):
    """A gradient that the state's weights have is added once more by the next backward pass."""

    def cell(self, cell, x, h):
        weight = cell.weight_hh.view_as(cell.weight_hh)
        if weight.requires_grad:
            weight.register_hook(lambda slope: slope + self.there(cell.weight_hh.grad))
        return torch._VF.gru_cell(x, h, cell.weight_ih, weight, cell.bias_ih, cell.bias_hh)

    def there(self, gradient):
        return 0 if gradient is None else gradient


class ForgetsTheGradientOfItsState(Stack):
    """The gradient that a learned state has is taken away when it is handed in."""

    def begin(self, input, h0):
        if h0.is_leaf and h0.requires_grad:
            h0.grad = None
        return h0
