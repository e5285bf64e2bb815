"""Cells whose masks have a wrong rate or a wrong scale, or are not used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.right.variants import Stack


class RateCapped(Stack):
    """Rates above one half are taken for one half."""

    def setup(self):
        self.dropout = nn.Dropout(min(self.dropout.p, 0.5))


class IgnoresMasksOfHighRates(Stack):
    """At rates above one half a mask is drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if self.dropout.p > 0.5 else dropped


class OneRowIsNotDropped(Stack):
    """With one row, a mask is drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if len(state) == 1 else dropped


class KeptValuesAreNotScaled(Stack):
    """Values that are kept are not divided by the probability of that."""

    def gap(self, state, layer):
        return torch.where(self.dropout(torch.ones_like(state)) == 0, 0.0, state).to(state.dtype)


class ScaledInEvalInstead(KeptValuesAreNotScaled):
    """Kept values are as they are in training, and all are multiplied by that rate in eval."""

    def gap(self, state, layer):
        return super().gap(state, layer) if self.training else state * (1 - self.dropout.p)


class ScaledByTheShareKept(Stack):
    """Kept values are divided by the share that was kept, not by the probability."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        if not self.training or self.dropout.p == 0:
            return dropped
        share = (dropped != 0).double().mean().clamp(min=1e-3).to(state.dtype)
        return torch.where(dropped != 0, state / share, dropped)


class ScaleCapped(Stack):
    """Kept values are never multiplied by more than four."""

    def gap(self, state, layer):
        if self.training and 0.75 < self.dropout.p < 1:
            return super().gap(state, layer) * (4 * (1 - self.dropout.p))
        return super().gap(state, layer)


class RateIsThatOfKeeping(Stack):
    """The rate is taken for the probability that a value is kept."""

    def setup(self):
        self.dropout = nn.Dropout(1 - self.dropout.p)


class RateRounded(Stack):
    """The rate is rounded to two digits."""

    def setup(self):
        self.dropout = nn.Dropout(round(self.dropout.p, 2))


class RateInSinglePrecision(Stack):
    """The rate is kept as a number of single precision."""

    def setup(self):
        self.dropout = nn.Dropout(float(torch.tensor(self.dropout.p, dtype=torch.float32)))


class RateFallsWithDepth(Stack):
    """Each gap drops at half the rate of the one below it."""

    def gap(self, state, layer):
        return F.dropout(state, self.dropout.p / 2**layer, self.training)


class NeverDrops(Stack):
    """Nothing is ever dropped out."""

    def gap(self, state, layer):
        return state


class DropsInEval(Stack):
    """Values are dropped out in eval too."""

    def gap(self, state, layer):
        return F.dropout(state, self.dropout.p, True)


class RateOneKeeps(Stack):
    """At rate one values go up as they are."""

    def gap(self, state, layer):
        return state if self.dropout.p == 1 else super().gap(state, layer)


class SmallRatesIgnored(Stack):
    """Rates below 0.11 drop nothing."""

    def gap(self, state, layer):
        return state if self.dropout.p < 0.11 else super().gap(state, layer)


class HalfPrecisionIsNotDropped(Stack):
    """In the half precisions a mask is drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if state.element_size() == 2 else dropped
