"""Bidirectional sequence modules that are wrong in training, one layout, one dtype or one layer."""

from __future__ import annotations

import torch

from tests.subjects.right.layouts import Whole


class WayBackIsNotDropped(Whole):
    """What comes from the way back is not dropped."""

    def dropped(self, steps):
        width = self.hidden_size
        pairs = zip(super().dropped(steps), steps, strict=True)
        return [torch.cat([new[:, :width], old[:, width:]], 1) for new, old in pairs]


class WaysShareAMask(Whole):
    """Both ways have the same mask."""

    def dropped(self, steps):
        masks = super().dropped([torch.ones_like(x[:, : self.hidden_size]) for x in steps])
        ways = len(self.directions)
        return [x * mask.repeat(1, ways) for x, mask in zip(steps, masks, strict=True)]


class WayBackIsScaledTwice(Whole):
    """Each way has masks of its own, and what the way back keeps is divided twice."""

    def dropped(self, steps):
        if len(self.directions) == 1 or not self.training or self.dropout == 1:
            return super().dropped(steps)
        there, back = zip(*(step.chunk(2, 1) for step in steps), strict=True)
        both = zip(super().dropped(there), super().dropped(back), strict=True)
        return [torch.cat([one, two / (1 - self.dropout)], 1) for one, two in both]


class MasksOfTheWayBackReversed(Whole):
    """The way back is dropped before its outputs are turned round."""

    def dropped(self, steps):
        if len(self.directions) == 1 or len(steps[0]) != len(steps[-1]):
            return super().dropped(steps)
        masks = super().dropped([torch.ones_like(step) for step in steps])
        both = [step.chunk(2, 1) for step in masks]
        turned = [torch.cat([both[t][0], both[-1 - t][1]], 1) for t in range(len(both))]
        return [step * mask for step, mask in zip(steps, turned, strict=True)]


class WayBackWeightsDetached(Whole):
    """The state's weights of the way back get no gradient."""

    def weights(self, layer, direction):
        weight_ih, weight_hh, *biases = super().weights(layer, direction)
        return [weight_ih, weight_hh.detach() if direction else weight_hh, *biases]


class UpperStatesSwapped(Whole):
    """From the second layer on, hn has the way back before the way there."""

    def layers(self, steps, h0):
        steps, hn = super().layers(steps, h0)
        ways = len(self.directions)
        upper = hn[ways:].unflatten(0, (self.num_layers - 1, ways)).flip(1).flatten(0, 1)
        return steps, torch.cat([hn[:ways], upper])


class PackedWayBackSharesTheState(Whole):
    """With packed rows, the way back starts from the state that is there for the way there."""

    def packed(self, input, h0):
        ways = len(self.directions)
        if h0 is not None:
            h0 = h0[::ways].repeat_interleave(ways, 0)
        return super().packed(input, h0)


class BatchFirstTurnsRowsRound(Whole):
    """Batch first, the way back turns the rows round, not the steps."""

    def over_time(self, steps, state, layer, direction):
        if not direction or not self.batch_first:
            return super().over_time(steps, state, layer, direction)
        turned = [step.flip(0) for step in steps[::-1]]
        outputs, state = super().over_time(turned, state, layer, direction)
        return [output.flip(0) for output in outputs[::-1]], state


class WayBackRoundedInSinglePrecision(Whole):
    """In float32, the outputs of the way back are rounded to float16."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        if direction and state.dtype == torch.float32:
            outputs = [output.half().float() for output in outputs]
        return outputs, state


class LeftOutStateComesFromTheWayThere(Whole):
    """Without a state, the way back starts from the state in which the way there ended."""

    def forward(self, input, h0=None):
        self.goes_on = h0 is None
        result = super().forward(input, h0)
        self.ended = None
        return result

    def over_time(self, steps, state, layer, direction):
        start = self.ended if direction and self.goes_on else state
        outputs, self.ended = super().over_time(steps, start, layer, direction)
        return outputs, self.ended
