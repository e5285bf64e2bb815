"""Cells whose masks are wrong: where they lie, and who shares them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.right.variants import Stack


class MaskKeptOverTime(Stack):
    """The first mask of each gap is kept for all later steps."""

    def setup(self):
        self.masks = {}

    def gap(self, state, layer):
        mask = self.dropout(torch.ones_like(state))
        if self.masks.get(layer, mask[:0]).shape == mask.shape:
            mask = self.masks[layer]
        self.masks[layer] = mask
        return state * mask


class MaskSharedOverLargeBatch(Stack):
    """From nine rows on, all rows share one mask."""

    def gap(self, state, layer):
        if len(state) > 8:
            return state * self.dropout(torch.ones_like(state[:1]))
        return super().gap(state, layer)


class MaskOfTheStepBefore(Stack):
    """From the second step on, the mask of the step before is used again, and a new one drawn."""

    def setup(self):
        self.before = {}

    def gap(self, state, layer):
        mask = self.dropout(torch.ones_like(state))
        used = self.before.get(layer, mask)
        self.before[layer] = mask
        return state * (used if used.shape == mask.shape else mask)


class DropsTheInput(Stack):
    """The input is dropped out as well."""

    def forward(self, input, h0=None):
        return super().forward(self.dropout(input), h0)


class DropsTheLastLayer(Stack):
    """The last layer's output is dropped out as well, before it goes into hn."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        output = self.dropout(output)
        return output, torch.cat([hn[:-1], output.unsqueeze(0)])


class DropsTheOutputOnly(Stack):
    """The output is dropped out, and hn is not."""

    def result(self, output, hn):
        return self.dropout(output), torch.stack(hn)


class DropsTheOldState(Stack):
    """The state that is handed in is dropped out."""

    def start(self, input, h0):
        return self.dropout(super().start(input, h0))


class CarriesDroppedStates(Stack):
    """The states of the lower layers go into hn as the next layer gets them."""

    def setup(self):
        self.dropout = nn.Dropout(self.dropout.p, inplace=True)


class RowsShareAMask(Stack):
    """All rows of a step share one mask."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state[:1]))


class UnitsShareAMask(Stack):
    """A row is dropped out as a whole or not at all."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state[:, :1]))


class GapsShareAMask(Stack):
    """All gaps of a step share the first one's mask."""

    def gap(self, state, layer):
        if layer == 0:
            self.mask = self.dropout(torch.ones_like(state))
        return state * self.mask


class GapsShareAMaskThoughAllAreDrawn(Stack):
    """A mask is drawn for every gap, and the first one's is used in all."""

    def gap(self, state, layer):
        mask = self.dropout(torch.ones_like(state))
        if layer == 0:
            self.mask = mask
        return state * self.mask


class OnlyTheFirstGapDrops(Stack):
    """Nothing is dropped out above the second layer."""

    def gap(self, state, layer):
        return super().gap(state, layer) if layer == 0 else state


class FourthGapDoesNotDrop(Stack):
    """Nothing is dropped out between the fourth layer and the fifth."""

    def gap(self, state, layer):
        return state if layer == 3 else super().gap(state, layer)


class FirstGapDoesNotDropInDeepStacks(Stack):
    """With four layers or more, the first gap's mask is drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if layer == 0 and self.num_layers >= 4 else dropped


class DropsTwice(Stack):
    """What goes up is dropped out twice."""

    def gap(self, state, layer):
        return super().gap(super().gap(state, layer), layer)


class MaskTransposed(Stack):
    """Masks are filled unit by unit, not row by row."""

    def gap(self, state, layer):
        return super().gap(state.t().contiguous(), layer).t()


class MaskRolled(Stack):
    """The mask of each row is used for the row after it."""

    def gap(self, state, layer):
        return state * self.dropout(torch.ones_like(state)).roll(1, 0)


class AlphaDropout(Stack):
    """Values are dropped to the negative limit of SELU, not to zero."""

    def gap(self, state, layer):
        return F.alpha_dropout(state, self.dropout.p, self.training)


class ChannelDropout(Stack):
    """The dropout of channels is used, which takes rows for channels."""

    def gap(self, state, layer):
        return F.dropout1d(state, self.dropout.p, self.training)
