"""Sequence modules whose results are laid out, shared or attached to the graph otherwise."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer


class StateIsPartOfTheOutput(LayerByLayer):
    """With one layer, hn is the memory of the last output."""

    def end(self, output, hn):
        return output, output[-1:] if len(hn) == 1 else hn


class OutputTakesTheInputsMemory(LayerByLayer):
    """Without gradients, the output is written into an input that is as wide."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        fits = input.shape == output.shape and input.dtype == output.dtype
        return output if output.requires_grad or not fits else input.copy_(output), hn


class ReturnedStateIsWrittenOver(Whole):
    """Without gradients, a state that it gave is written over when it is handed in again."""

    last = None

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is not None and h0 is self.last and not hn.requires_grad:
            hn = h0.copy_(hn)
        self.last = hn.detach() if hn.requires_grad else hn
        return output, hn


class StateIsNotContiguous(LayerByLayer):
    """hn is put together row by row, and so has no view of one axis."""

    def result(self, output, hn):
        return self.end(output, torch.stack(hn, 1).transpose(0, 1))


class OutputIsNotContiguous(LayerByLayer):
    """The output is put together row by row, and so has no view of one axis."""

    def end(self, output, hn):
        return output.transpose(0, 1).contiguous().transpose(0, 1), hn


class FrozenResultsRequireGradients(LayerByLayer):
    """Where nothing requires gradients, hn does."""

    def end(self, output, hn):
        return output, hn if hn.requires_grad else hn.requires_grad_(torch.is_grad_enabled())


class OneStepDetachesItsState(LayerByLayer):
    """With one step, hn has no gradient."""

    def over_time(self, cell, input, state):
        outputs, state = super().over_time(cell, input, state)
        return outputs, state.detach() if len(input) == 1 else state


class SecondBackwardAddsNothing(LayerByLayer):
    """A second backward pass over a graph that is retained gives zeros."""

    def end(self, output, hn):
        return self.once(output), self.once(hn)

    def once(self, result):
        left = [1]
        if result.requires_grad:
            result.register_hook(lambda gradient: gradient * (left.pop() if left else 0))
        return result


class MasksOfTheLatestCallBackward(LayerByLayer):
    """The backward pass of a call uses the masks of the latest call."""

    def setup(self):
        self.masks = {}

    def gap(self, state, layer):
        if not self.training:
            return state
        mask = self.dropout(torch.ones_like(state))
        kept = self.masks.setdefault((layer, mask.shape, mask.dtype, mask.device), mask)
        kept.data.copy_(mask)  # which autograd does not see
        return state * kept


class BackwardNeedsItsOutput(LayerByLayer):
    """An output that is changed in place breaks the backward pass, which needs it."""

    def end(self, output, hn):
        return F.leaky_relu_(output, 1.0), hn


class ForgetsGradients(LayerByLayer):
    """A call in training forgets the gradients that calls before it have left."""

    def start(self, input, h0):
        if self.training:
            for parameter in self.parameters():
                parameter.grad = None
        return super().start(input, h0)
