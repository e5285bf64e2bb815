"""Sequence modules whose masks are wrong: shared over time, shifted, left out, or one too many."""

from __future__ import annotations

import torch

from tests.subjects.broken import masks, rates
from tests.subjects.right.sequences import LayerByLayer, StepByStep


class OneMaskForAllSteps(LayerByLayer):
    """All steps of a gap share one mask."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state[:1]))


class OneMaskForAllStepsThoughAllAreDrawn(LayerByLayer):
    """Masks are drawn for every step, and the first one's is used in all."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state))[:1]


class OneMaskForAllGaps(LayerByLayer):
    """Masks are drawn for every gap, and the first one's are used in all."""

    gap = masks.GapsShareAMaskThoughAllAreDrawn.gap


class OneMaskForAllRows(LayerByLayer):
    """All rows of a step share one mask."""

    def gap(self, state, layer):
        one = state[:, :1] if state.dim() == 3 else state
        return state * self.dropout(torch.ones_like(one))


class MasksForOneStepMore(LayerByLayer):
    """Masks are drawn for one step more than there is."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(torch.cat([state, state[:1]])))[: len(state)]


class FirstStepIsNotDropped(LayerByLayer):
    """The mask of the first step is drawn and not used, where there are more."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return torch.cat([state[:1], dropped[1:]]) if len(state) > 1 else dropped


class LongSequencesAreNotDropped(LayerByLayer):
    """From the ninth step on masks are drawn and not used."""

    def gap(self, state, layer):
        return torch.cat([super().gap(state, layer)[:8], state[8:]])


class OneStepIsNotDropped(LayerByLayer):
    """With one step a mask is drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if len(state) == 1 else dropped


class DropsItsOutputs(LayerByLayer):
    """The last layer's outputs are dropped out as well."""

    def up(self, state, layer):
        return self.dropout(state)


class DropsItsInputs(LayerByLayer):
    """The inputs are dropped out as well."""

    def forward(self, input, h0=None):
        return super().forward(self.dropout(input), h0)


class DropsWhatItCarries(LayerByLayer):
    """The state that is carried from step to step is dropped out."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, self.dropout(h))


class FirstLayerCarriesDroppedStates(LayerByLayer):
    """The first layer carries on dropped states from the second step on; hn is not dropped."""

    def over_time(self, cell, input, state):
        outputs = []
        for x in input:
            state = self.cell(cell, x, state)
            outputs.append(state)
            if cell is self.cells[0] and self.num_layers > 1:
                state = self.dropout(state)
        return torch.stack(outputs), outputs[-1]


class OneMoreMask(LayerByLayer):
    """One more set of masks is drawn after the last layer and thrown away."""

    def up(self, state, layer):
        dropped = self.dropout(state)
        return state if layer == self.num_layers - 1 else dropped


class OneMoreMaskEveryStep(StepByStep):
    """One more mask is drawn at every step and thrown away."""

    def result(self, output, hn):
        self.dropout(output)
        return super().result(output, hn)


class OnlyTwoGapsDrop(LayerByLayer):
    """Above the third layer nothing is dropped out."""

    def gap(self, state, layer):
        return super().gap(state, layer) if layer < 2 else state


class ScaleGrowsWithTime(LayerByLayer):
    """Kept values are scaled a thousandth more at every step."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        if not self.training or self.dropout.p == 0:
            return dropped
        steps = torch.arange(len(state), dtype=torch.float64).view(-1, *[1] * (state.dim() - 1))
        return (dropped * (1 + 1e-3 * steps)).to(state.dtype)


class RateCappedOverTime(LayerByLayer):
    """Rates above one half are taken for one half."""

    setup = rates.RateCapped.setup


class OutputsAreNotScaled(LayerByLayer):
    """Kept values are not divided by the probability of that."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        scaled = self.training and 0 < self.dropout.p < 1
        return dropped * (1 - self.dropout.p) if scaled else dropped


class SeedsEveryStep(StepByStep):
    """In training torch's generator is put back at every step to where it was at the first."""

    def forward(self, input, h0=None):
        self.before = torch.get_rng_state()
        return super().forward(input, h0)

    def start(self, input, h0):
        if self.training:
            torch.set_rng_state(self.before)
        return super().start(input, h0)
