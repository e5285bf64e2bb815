"""Sequence modules that are wrong when the state is None, is zeros, or is left out."""

from __future__ import annotations

from tests.subjects.right.layouts import Whole


class ZerosTakenForNone(Whole):
    """A state of zeros is taken for none, and so gets no gradient."""

    def forward(self, input, h0=None):
        return super().forward(input, None if h0 is None or not h0.any() else h0)


class BatchFirstCountsStepsAsRows(Whole):
    """Batch first and without a state, there are zeros for each step, not for each row."""

    def batched(self, input, h0):
        if h0 is None and self.batch_first:
            states = self.num_layers * len(self.directions)
            h0 = input.new_zeros(states, input.shape[1], self.hidden_size)
        return super().batched(input, h0)


class StateGivenOnlyIfTaken(Whole):
    """Without a state, hn is None."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return output, None if h0 is None else hn
