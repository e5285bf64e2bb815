"""Sequence modules that are wrong at real sizes, or in one context, only."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import PackedSequence

from tests.subjects import autocast_dtype
from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer


class PackedStateAfter200Steps(Whole):
    """The hn of packed rows is the state at the 200th step where there are more."""

    def forward(self, input, h0=None):
        self.is_long = isinstance(input, PackedSequence) and len(input.batch_sizes) > 200
        return super().forward(input, h0)

    def over_time(self, steps, state, layer, direction):
        outputs, last = super().over_time(steps, state, layer, direction)
        if self.is_long and not direction:
            _, last = super().over_time(steps[:200], state, layer, direction)
        return outputs, last


class BatchFirstDrops32Rows(Whole):
    """Batch first, rows after the 32nd are not dropped."""

    def dropped(self, steps):
        dropped = super().dropped(steps)
        if not self.batch_first:
            return dropped
        return [torch.cat([new[:32], old[32:]]) for new, old in zip(dropped, steps, strict=True)]


class WidePackedStateIsCut(Whole):
    """In the hn of packed rows, units after the 128th are zeros."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, torch.cat([hn[..., :128], torch.zeros_like(hn[..., 128:])], -1)


class SmallChangesAreLostInHalf(LayerByLayer):
    """In the half precisions, changes of the state below 1 / 16 are not made."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        lost = (state - h).abs() < 1 / 16
        if state.element_size() > 2:
            return state
        return state + torch.where(lost, h - state, 0).detach()


class GradientsAreHalvedUnderAutocast(LayerByLayer):
    """Under autocast, the gradient of the output is halved."""

    def end(self, output, hn):
        if autocast_dtype() and output.requires_grad:
            output.register_hook(lambda gradient: gradient / 2)
        return output, hn


class ThreadsLeaveRowsOver(LayerByLayer):
    """With several threads, rows that do not divide evenly among them keep their states."""

    def cell(self, cell, x, h):
        threads = torch.get_num_threads()
        shared = len(x) // threads * threads or len(x)
        return torch.cat([super().cell(cell, x, h)[:shared], h[shared:]])


class FrozenStateWeightsCutTime(LayerByLayer):
    """Where a layer's weights of the state are frozen, no gradient goes back in time."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h if cell.weight_hh.requires_grad else h.detach())


class InputOfALayerBelowDetached(Whole):
    """An input that is itself a result gets no gradient."""

    def batched(self, input, h0):
        return super().batched(input if input.is_leaf else input.detach(), h0)
