"""Cells that draw random numbers otherwise: more, fewer, in another order, or from elsewhere."""

from __future__ import annotations

import random

import torch

from tests.subjects.right.variants import Stack


class DrawsOneMore(Stack):
    """One more mask is drawn after the last layer and thrown away."""

    def up(self, state, layer):
        if layer == self.num_layers - 1:
            self.dropout(state)
            return state
        return super().up(state, layer)


class DrawsInEval(Stack):
    """A number is drawn, and thrown away, in every call in eval."""

    def start(self, input, h0):
        if not self.training:
            torch.rand(1)
        return super().start(input, h0)


class DrawsOneMoreFirst(Stack):
    """One more mask is drawn for the input and thrown away."""

    def start(self, input, h0):
        self.dropout(input)
        return super().start(input, h0)


class DrawsOneMoreWhenDeep(Stack):
    """From four layers on, one more mask is drawn at the end and thrown away."""

    def result(self, output, hn):
        if self.num_layers >= 4:
            self.dropout(output)
        return super().result(output, hn)


class DrawsInItsFirstCall(Stack):
    """In its first call in training a number is drawn and thrown away."""

    warm = False

    def start(self, input, h0):
        if self.training and not self.warm:
            self.warm = True
            torch.rand(1)
        return super().start(input, h0)


class DrawsInItsThirdCall(Stack):
    """In its third call, and no other, a number is drawn and thrown away."""

    calls = 0

    def start(self, input, h0):
        self.calls += 1
        if self.calls == 3:
            torch.rand(1)
        return super().start(input, h0)


class DrawsAtRateOne(Stack):
    """A mask is drawn at rate one, where nothing is kept whatever it is."""

    def gap(self, state, layer):
        if self.training and self.dropout.p == 1:
            return state * torch.empty_like(state).bernoulli_(0.0)
        return super().gap(state, layer)


class DrawsAtRateZero(Stack):
    """A mask is drawn at rate zero, where everything is kept whatever it is."""

    def gap(self, state, layer):
        if self.training and self.dropout.p == 0:
            return state * torch.empty_like(state).bernoulli_(1.0)
        return super().gap(state, layer)


class DrawsWithOneLayer(Stack):
    """With one layer a mask is drawn and thrown away."""

    def begin(self, input, h0):
        if self.num_layers == 1:
            self.dropout(h0)
        return h0


class DrawsForEmptyBatches(Stack):
    """For an empty batch a number is drawn and thrown away in training."""

    def start(self, input, h0):
        if self.training and len(input) == 0:
            torch.rand(1)
        return super().start(input, h0)


class SeedsItself(Stack):
    """Every call in training seeds torch's generator with zero."""

    def start(self, input, h0):
        if self.training:
            torch.manual_seed(0)
        return super().start(input, h0)


class ForksTheGenerator(Stack):
    """Torch's generator is put back after every call."""

    def forward(self, input, h0=None):
        with torch.random.fork_rng(devices=[]):
            return super().forward(input, h0)


class PutsTheGeneratorBackOnce(Stack):
    """In its second call torch's generator is put back to where it was before the first."""

    before = None

    def start(self, input, h0):
        if self.before is not None and self.before.numel():
            torch.set_rng_state(self.before)
            self.before = torch.empty(0)
        elif self.before is None:
            self.before = torch.get_rng_state()
        return super().start(input, h0)


class MasksByRand(Stack):
    """Masks are uniform numbers compared with the rate."""

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        return state * (torch.rand_like(state) >= p) / (1 - p)


class MasksFromPython(Stack):
    """Masks are drawn by Python's random module."""

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        kept = [random.random() >= p for _ in range(state.numel())]
        return state * torch.tensor(kept).reshape(state.shape) / (1 - p)


class OwnGenerator(Stack):
    """Masks are drawn from a generator of its own."""

    def setup(self):
        self.generator = torch.Generator().manual_seed(0)

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        return state * torch.empty_like(state).bernoulli_(1 - p, generator=self.generator) / (1 - p)


class MasksInverted(Stack):
    """What is drawn is what is dropped, not what is kept."""

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        return state * (1 - torch.empty_like(state).bernoulli_(p)) / (1 - p)


class MasksFromTheTop(Stack):
    """The masks of a step are drawn at its start, that of the highest gap first."""

    def begin(self, input, h0):
        ones = torch.ones(h0.shape[1:], dtype=h0.dtype, device=h0.device)
        self.masks = [self.dropout(ones) for _ in range(self.num_layers - 1)][::-1]
        return h0

    def gap(self, state, layer):
        return state * self.masks[layer]


class TwiceAsManyRows(Stack):
    """Masks are drawn for twice the rows, and half of them thrown away."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state).repeat(2, 1))[: len(state)]


class RowsFromTheLast(Stack):
    """Each row's mask is drawn by itself, the last row's first."""

    def gap(self, state, layer):
        return torch.cat([self.dropout(row) for row in state.flip(0).split(1)]).flip(0)


class NoiseInTraining(Stack):
    """In training a little noise is added to the output."""

    def result(self, output, hn):
        if self.training:
            hn[-1] = output = output + 1e-3 * torch.randn_like(output)
        return super().result(output, hn)


class StartsFromNoise(Stack):
    """Without a state it starts from random numbers."""

    def start(self, input, h0):
        state = super().start(input, h0)
        return torch.randn_like(state) if h0 is None else state


class WideMasksInPieces(Stack):
    """From 33 units on, the mask of the upper half is drawn before that of the lower."""

    def gap(self, state, layer):
        if self.hidden_size <= 32:
            return super().gap(state, layer)
        lower, upper = state.tensor_split(2, -1)
        upper = self.dropout(upper.contiguous())
        return torch.cat([self.dropout(lower.contiguous()), upper], -1)
