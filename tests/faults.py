"""Broken implementations, each a few lines over a right one: for every law one that it catches.

The seed's example (one step, float32, sizes 5, 10, 3, rate 0.1, batch 7) accepts every one of
these; tests/test_laws.py shows both.
"""

from __future__ import annotations

import torch
from torch import nn

from tests import broken_conduct
from tests.variants import LayerByLayer, Stack


class Gain(Stack):
    """The new state is 1e-9 too large: far above float64's rounding, far below float32's."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-9)


class RateCapped(Stack):
    """Rates above one half are taken for one half."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.dropout = nn.Dropout(min(self.dropout.p, 0.5))


class KeepsTheFirstState(Stack):
    """The first state handed in is kept, and mixed into those of later calls."""

    first = None

    def start(self, input, h0):
        h0 = super().start(input, h0)
        if self.first is None or self.first.shape != h0.shape:
            self.first = h0
        return (h0 + self.first) / 2


class MaskKeptOverTime(Stack):
    """The first mask of each gap is kept for all later steps."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.masks = {}

    def up(self, state, layer):
        if layer == self.num_layers - 1:
            return state
        mask = self.dropout(torch.ones_like(state))
        if self.masks.get(layer, mask[:0]).shape == mask.shape:
            mask = self.masks[layer]
        self.masks[layer] = mask
        return state * mask


class OutputApart(Stack):
    """The output is computed apart from hn, in another order of operations."""

    def result(self, output, hn):
        return (output * 3) / 3 * (1 + 1e-7), torch.stack(hn)


class Tires(Stack):
    """From the fourth call on, the state that is handed in is forgotten."""

    calls = 0

    def start(self, input, h0):
        self.calls += 1
        h0 = super().start(input, h0)
        return torch.zeros_like(h0) if self.calls > 3 else h0


class MixesRows(Stack):
    """Each row takes a little of the mean of all rows."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        return h0 + 1e-9 * h0.mean(1, keepdim=True)


class SeesTheFuture(LayerByLayer):
    """A sequence module that takes a little of the mean over all steps off its input."""

    cell = Stack.cell

    def forward(self, input, h0=None):
        shift = input.mean(0) - input[0] if len(input) > 1 else 0 * input[0]
        return super().forward(input - 1e-3 * shift, h0)


class StartsFromOnes(Stack):
    """Without a state it starts from ones."""

    def start(self, input, h0):
        return torch.ones_like(super().start(input, None)) if h0 is None else h0


class Overshoots(Stack):
    """Where the old state is large, the new one steps a little past the convex sum."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return torch.where(h.abs() > 4, state + 1e-3 * h, state)


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


class Drifts(Stack):
    """The result moves a little with every call."""

    calls = 0

    def cell(self, cell, x, h):
        self.calls += 1
        return super().cell(cell, x, h) * (1 + 1e-9 * self.calls)


class MaskSharedOverLargeBatch(Stack):
    """From nine rows on, all rows share one mask."""

    def up(self, state, layer):
        if len(state) > 8 and layer < self.num_layers - 1:
            return state * self.dropout(torch.ones_like(state[:1]))
        return super().up(state, layer)


class IgnoresMasksOfHighRates(Stack):
    """At rates above one half a mask is drawn and not used."""

    def up(self, state, layer):
        dropped = super().up(state, layer)
        return state if self.dropout.p > 0.5 else dropped


class MaskOfTheStepBefore(Stack):
    """From the second step on, the mask of the step before is used again, and a new one drawn."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.before = {}

    def up(self, state, layer):
        if layer == self.num_layers - 1:
            return state
        mask = self.dropout(torch.ones_like(state))
        used = self.before.get(layer, mask)
        self.before[layer] = mask
        return state * (used if used.shape == mask.shape else mask)


class RemembersItsFirstStep(Stack):
    """From the second call on, the first result is given again."""

    first = None

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        if self.first is None or self.first[1].shape != hn.shape:
            self.first = output.detach(), hn.detach()
        return self.first


class OneRowIsNotDropped(Stack):
    """With one row, a mask is drawn and not used."""

    def up(self, state, layer):
        dropped = super().up(state, layer)
        return state if len(state) == 1 else dropped


class NarrowWithoutBias(Stack):
    """Below eight units, the state's biases are left out."""

    def cell(self, cell, x, h):
        if self.hidden_size >= 8 or not cell.bias:
            return super().cell(cell, x, h)
        nothing = torch.zeros_like(cell.bias_hh)
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, nothing)


#: For every law a fault that it catches.
CAUGHT_BY = {
    "equation": Gain,
    "one-step": RateCapped,
    "unrolled": KeepsTheFirstState,
    "same-masks": MaskKeptOverTime,
    "hn-is-last": OutputApart,
    "chunks": Tires,
    "rows": MixesRows,
    "causal": SeesTheFuture,
    "default-state": StartsFromOnes,
    "bounded": Overshoots,
    "same-draws": DrawsOneMore,
    "no-draws": DrawsInEval,
    "repeatable": Drifts,
    "mask-count": MaskSharedOverLargeBatch,
    "seed-matters": IgnoresMasksOfHighRates,
    "order-matters": MaskOfTheStepBefore,
    "first-step-is-not-hn": RemembersItsFirstStep,
    "mode-matters": OneRowIsNotDropped,
    "everything-matters": NarrowWithoutBias,
    **broken_conduct.CAUGHT_BY,
}
