"""Sequence modules that are wrong only batch first, without a state, or over many steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.layouts import Whole


class OnlyBatchFirstWithoutAState(Whole):
    """The commonest call there is, batch first and without a state, starts from ones."""

    def zeros(self, x):
        return super().zeros(x) + float(self.batch_first)


class BatchFirstCutsGradients(Whole):
    """Batch first, hn has no history."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return output, hn.detach() if self.batch_first else hn


class BatchFirstTurnsTheRowsOfItsState(Whole):
    """Batch first, the rows of hn are in reverse."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return output, hn.flip(1) if self.batch_first else hn


class BatchFirstDropsRowsAlike(Whole):
    """Batch first, all steps of a row share a mask."""

    def dropped(self, steps):
        if not self.batch_first or not self.training:
            return super().dropped(steps)
        mask = F.dropout(torch.ones_like(steps[0]), self.dropout)
        return [step * mask for step in steps]


class BatchFirstDropsNothing(Whole):
    """Batch first, nothing is dropped."""

    def dropped(self, steps):
        return steps if self.batch_first else super().dropped(steps)


class BatchFirstDropsInEval(Whole):
    """Batch first, it drops in eval."""

    def dropped(self, steps):
        if self.training or not self.batch_first:
            return super().dropped(steps)
        return [F.dropout(step, self.dropout) for step in steps]


class BatchFirstSeesTheFuture(Whole):
    """Batch first, a step's output is the mean of its own and the next."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return (output + output.roll(-1, 1)) / 2 if self.batch_first else output, hn


class BatchFirstStateOfTheFirstStep(Whole):
    """Batch first, in training, hn is the state after the first step."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        if self.batch_first and self.training:
            hn = super().batched(input[:, :1], h0)[1]
        return output, hn


class BatchFirstInSinglePrecision(Whole):
    """Batch first, doubles are rounded to floats."""

    def batched(self, input, h0):
        output, hn = super().batched(input, h0)
        return output.float().to(hn) if self.batch_first else output, hn


class BatchFirstWritesToItsInput(Whole):
    """Batch first, the input is scaled in place once it has been used."""

    def batched(self, input, h0):
        results = super().batched(input, h0)
        if self.batch_first:
            with torch.no_grad():
                input.mul_(0.5)
        return results


class LongSequencesStartAnew(Whole):
    """After a hundred steps the state is zeros again."""

    def over_time(self, steps, state, layer, direction):
        if len(steps) <= 100:
            return super().over_time(steps, state, layer, direction)
        first, _ = super().over_time(steps[:100], state, layer, direction)
        rest, last = self.over_time(steps[100:], torch.zeros_like(state), layer, direction)
        return [*first, *rest], last


class LongSequencesForgetGradients(Whole):
    """After ten steps gradients are cut, as in truncated training."""

    def over_time(self, steps, state, layer, direction):
        if len(steps) <= 10:
            return super().over_time(steps, state, layer, direction)
        early, late = (steps[-10:], steps[:-10]) if direction else (steps[:10], steps[10:])
        first, state = super().over_time(early, state, layer, direction)
        rest, last = self.over_time(late, state.detach(), layer, direction)
        return ([*rest, *first] if direction else [*first, *rest]), last


class LongSequencesDropLess(Whole):
    """Steps after the fiftieth are not dropped."""

    def dropped(self, steps):
        if len(steps) <= 50:
            return super().dropped(steps)
        return [*super().dropped(steps[:50]), *steps[50:]]
