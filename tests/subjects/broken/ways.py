"""Stacks that are wrong in one way of being called: without a state, or without gradients."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack


class TrainsFromOnes(Stack):
    """Without a state, in training, the first state is ones."""

    def start(self, input, h0):
        states = super().start(input, h0)
        return states + 1 if h0 is None and self.training else states


class LeftOutStateCutsGradients(Stack):
    """Without a state, what comes out has no history."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return (output.detach(), hn.detach()) if h0 is None else (output, hn)


class LeftOutStateDrawsAMaskMore(Stack):
    """Without a state one mask more is drawn."""

    def start(self, input, h0):
        states = super().start(input, h0)
        return self.dropout(states) if h0 is None else states


class LeftOutStateInSinglePrecision(Stack):
    """Without a state, doubles are rounded to floats."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return (output.float().to(input), hn.float().to(input)) if h0 is None else (output, hn)


class LeftOutStateGivesOneLayer(Stack):
    """Without a state, in training, hn is the last layer's for all."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is None and self.training:
            hn = hn[-1:].expand_as(hn).clone()
        return output, hn


class InferenceDropsNothing(Stack):
    """In inference mode nothing is dropped, in training neither."""

    def gap(self, state, layer):
        return state if torch.is_inference_mode_enabled() else super().gap(state, layer)


class InferenceInHalf(Stack):
    """In inference mode, products are rounded to bfloat16."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state.bfloat16().to(state) if torch.is_inference_mode_enabled() else state


class InferenceForgetsTheLastState(Stack):
    """In inference mode the last layer starts from zeros at every step."""

    def cell(self, cell, x, h):
        if torch.is_inference_mode_enabled() and cell is self.cells[-1]:
            h = torch.zeros_like(h)
        return super().cell(cell, x, h)


class InferenceRaises(Stack):
    """It does not run in inference mode."""

    def start(self, input, h0):
        if torch.is_inference_mode_enabled():
            raise RuntimeError("Inplace update to inference tensor")
        return super().start(input, h0)


class RecordingChangesTheOutput(Stack):
    """In eval, while gradients are recorded, the output is half of the state."""

    def end(self, output, hn):
        if torch.is_grad_enabled() and not self.training:
            output = output * 0.5
        return output, hn
