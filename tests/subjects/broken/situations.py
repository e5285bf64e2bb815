"""Cells that are wrong in one situation: threads, what requires gradients, strides, or before."""

from __future__ import annotations

import torch
from torch import nn

from tests.subjects.right.variants import Stack


class RowsSharedOutToThreads(Stack):
    """With more than one thread, rows left over when they are shared out keep their old state."""

    def cell(self, cell, x, h):
        threads = torch.get_num_threads()
        done = len(x) // threads * threads
        return torch.cat([super().cell(cell, x, h)[:done], h[done:]])


class PartlyFrozenDropsNothing(Stack):
    """Where some parameters are frozen and some are not, nothing is dropped out."""

    def gap(self, state, layer):
        kinds = {parameter.requires_grad for parameter in self.parameters()}
        return state if len(kinds) == 2 else super().gap(state, layer)


class FrozenWeightsCutTheHistory(Stack):
    """Where the state's weights are frozen, the old state gets no gradient."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h if cell.weight_hh.requires_grad else h.detach())


class ResultsGetNoGradient(Stack):
    """An input that is a result, and not a leaf, gets no gradient."""

    def forward(self, input, h0=None):
        return super().forward(input.detach() if input.grad_fn is not None else input, h0)


class LearnedStateByData(Stack):
    """A state that is a Parameter gets no gradient."""

    def begin(self, input, h0):
        return h0.data if isinstance(h0, nn.Parameter) else h0


class GradientOfTheStateOnly(Stack):
    """Where the state requires gradients, the input gets none."""

    def forward(self, input, h0=None):
        if h0 is not None and h0.requires_grad:
            input = input.detach()
        return super().forward(input, h0)


class CopiesStridedInputByData(Stack):
    """In training an input that is not contiguous is copied, and gets no gradient."""

    def forward(self, input, h0=None):
        if self.training and not input.is_contiguous():
            input = input.detach().contiguous()
        return super().forward(input, h0)


class KeepsZerosOfInference(Stack):
    """Zeros for a left-out state are kept, and those of inference mode do not train."""

    def setup(self):
        self.zeros = {}

    def start(self, input, h0):
        if h0 is None:
            key = len(input), input.dtype, input.device
            h0 = self.zeros.get(key)
            h0 = super().start(input, None) if h0 is None else h0
            self.zeros[key] = h0
        return super().start(input, h0)


class DeterministicDropsNothing(Stack):
    """With torch's deterministic algorithms nothing is dropped out."""

    def gap(self, state, layer):
        if torch.are_deterministic_algorithms_enabled():
            return state
        return super().gap(state, layer)


class GuidedInEval(Stack):
    """In eval negative gradients are kept from going down, as pictures of saliency want it."""

    def gap(self, state, layer):
        state = super().gap(state, layer) * 1
        if state.requires_grad and not self.training:
            state.register_hook(lambda slope: slope.clamp(min=0))
        return state


class ExpandedRowsShareAState(Stack):
    """Rows of an input that is one row expanded start from the first row's state."""

    def begin(self, input, h0):
        return h0[:, :1].expand_as(h0) if input.stride(0) == 0 else h0
