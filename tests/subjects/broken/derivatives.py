"""Cells with wrong slopes, wrong second derivatives, or gradients that break where frozen."""

from __future__ import annotations

import torch

from tests.subjects.broken.functions import Backward, FirstOrderOnly, OwnSigmoid, OwnTanh
from tests.subjects.right.variants import Stack, Written


class HardSlopes(Written):
    """The gates have the slope of straight lines."""

    def sigmoid(self, sums):
        return OwnSigmoid.apply(sums)


class NanSlopeAtZero(Stack):
    """A state of zero gets NaN for a gradient."""

    def begin(self, input, h0):
        return torch.where(h0 == 0, h0, h0 * (h0 / h0))


class SecondDerivativesCutOff(Stack):
    """Gradients have no gradient of their own."""

    def result(self, output, hn):
        return FirstOrderOnly.apply(output), FirstOrderOnly.apply(torch.stack(hn))


class SecondDerivativesOfTanhWrong(Written):
    """In second derivatives the slope of the candidate is a constant."""

    def tanh(self, sums):
        return OwnTanh.apply(sums)


class NoForwardMode(Written):
    """The candidate has no derivative in forward mode; in backward mode it is right."""

    def update(self, r, z, n, h):
        return super().update(r, z, Backward.apply(n, 1), h)


class ChangesWhatIsSaved(Written):
    """What the backward pass needs is written to, so that it raises."""

    def update(self, r, z, n, h):
        state = super().update(r, z, n, h)
        if state.requires_grad:
            z.mul_(1)
        return state


class FrozenWeightsFreezeAll(Stack):
    """Where one parameter is frozen, none gets a gradient."""

    def forward(self, input, h0=None):
        wanted = all(parameter.requires_grad for parameter in self.parameters())
        with torch.set_grad_enabled(wanted and torch.is_grad_enabled()):
            return super().forward(input, h0)


class FrozenBelowDetaches(Stack):
    """Where the first layer is frozen, the input gets no gradient."""

    def forward(self, input, h0=None):
        frozen = not self.cells[0].weight_ih.requires_grad
        return super().forward(input.detach() if frozen else input, h0)


class HoldsOnToTheGraph(Stack):
    """The graph of the call before is a part of that of this call."""

    last = None

    def begin(self, input, h0):
        fits = self.last is not None and self.last.shape == h0.shape
        return h0 + 0 * self.last if fits and self.last.dtype == h0.dtype else h0

    def result(self, output, hn):
        output, self.last = super().result(output, hn)
        return output, self.last
