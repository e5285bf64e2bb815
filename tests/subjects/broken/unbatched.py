"""Sequence modules that are wrong with an unbatched sequence only."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.layouts import Whole


class UnbatchedDropsNothing(Whole):
    """Unbatched, nothing is dropped."""

    def forward(self, input, h0=None):
        self.is_unbatched = isinstance(input, torch.Tensor) and input.dim() == 2
        return super().forward(input, h0)

    def dropped(self, steps):
        wrong = self.is_unbatched and self.training
        return self.masked(torch.stack(steps)).unbind() if wrong else super().dropped(steps)

    def masked(self, steps):
        return steps


class UnbatchedDropsWholeSteps(UnbatchedDropsNothing):
    """Unbatched, a step is dropped as a whole or not at all."""

    def masked(self, steps):
        return steps * F.dropout(torch.ones_like(steps[:, :, :1]), self.dropout)


class UnbatchedStepsShareAMask(UnbatchedDropsNothing):
    """Unbatched, all steps share a mask."""

    def masked(self, steps):
        return steps * F.dropout(torch.ones_like(steps[:1]), self.dropout)


class UnbatchedDropoutCutsGradients(UnbatchedDropsNothing):
    """Unbatched, in training, no gradient goes down from one layer to the next."""

    def masked(self, steps):
        return F.dropout(steps.detach(), self.dropout)


class UnbatchedStateWithoutGradient(Whole):
    """Unbatched, the state that is handed in gets no gradient."""

    def unbatched(self, input, h0):
        return super().unbatched(input, None if h0 is None else h0.detach())


class UnbatchedStateLeftOutHasRows(Whole):
    """Unbatched and without a state, hn has an axis of rows."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output, hn.unsqueeze(1) if h0 is None else hn


class UnbatchedOneStepIsSqueezed(Whole):
    """Unbatched, the output of one step has no axis of steps."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output.squeeze(0), hn


class UnbatchedOneLayerIsSqueezed(Whole):
    """Unbatched, the hn of one layer has no axis of layers."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output, hn.squeeze(0)
