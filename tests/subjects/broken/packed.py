"""Sequence modules that are wrong with packed rows only: masks, gradients, lengths and order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import PackedSequence

from tests.subjects.right.layouts import Whole


class RaggedRowsShareAMask(Whole):
    """Where packed rows differ in length, all rows of a step share a mask."""

    def dropped(self, steps):
        if len(steps[0]) == len(steps[-1]) or not self.training:
            return super().dropped(steps)
        return [step * F.dropout(torch.ones_like(step[:1]), self.dropout) for step in steps]


class RaggedRowsAreNotDropped(Whole):
    """Where packed rows differ in length, nothing is dropped."""

    def dropped(self, steps):
        return super().dropped(steps) if len(steps[0]) == len(steps[-1]) else steps


class RaggedRowsAreNotScaled(Whole):
    """Where packed rows differ in length, kept values are not divided by their probability."""

    def dropped(self, steps):
        dropped = super().dropped(steps)
        if len(steps[0]) == len(steps[-1]) or not self.training:
            return dropped
        return [step * (1 - self.dropout) for step in dropped]


class GradientsLeftSorted(Whole):
    """The gradients of the states of packed rows are left in the order in which they arrive."""

    def permuted(self, state, order):
        if order is not None and state.requires_grad:
            state = state.clone()
            state.register_hook(lambda gradient: gradient.index_select(1, order))
        return super().permuted(state, order)


class UnsortedStateDetached(Whole):
    """Where packed rows are not sorted, hn has no gradient."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, hn if input.sorted_indices is None else hn.detach()


class EqualLengthsReadRowByRow(Whole):
    """Packed rows of equal length are read as if one came after the other."""

    def packed(self, input, h0):
        data, sizes, *orders = input
        if sizes[0] == sizes[-1]:
            data = data.view(int(sizes[0]), len(sizes), -1).transpose(0, 1).flatten(0, 1)
        return super().packed(PackedSequence(data, sizes, *orders), h0)


class LastRowAloneStays(Whole):
    """Where one packed row is longer than all others, its state stays as the others end."""

    def over_time(self, steps, state, layer, direction):
        shared = [step for step in steps if len(step) > 1]
        if direction or not shared:
            return super().over_time(steps, state, layer, direction)
        outputs, state = super().over_time(shared, state, layer, direction)
        return [*outputs, *[state[:1]] * (len(steps) - len(shared))], state


class PackedOrdersSwapped(Whole):
    """The packed output has its sorted and its unsorted order swapped."""

    def packed(self, input, h0):
        (data, sizes, to_sorted, to_unsorted), hn = super().packed(input, h0)
        return PackedSequence(data, sizes, to_unsorted, to_sorted), hn


class PackedStateSortedBackwards(Whole):
    """The state that comes with packed rows is sorted by the inverse of their order."""

    def packed(self, input, h0):
        if h0 is not None:
            for _ in range(2):
                h0 = self.permuted(h0, input.unsorted_indices)
        return super().packed(input, h0)


class PackedStateRoundedInSinglePrecision(Whole):
    """In float32, the hn of packed rows is rounded to float16."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, hn.half().float() if hn.dtype == torch.float32 else hn


class AllRowsEndWithTheShortest(Whole):
    """In hn, all packed rows have the state that they had when the shortest ended."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        full = [output for output in outputs if len(output) == len(outputs[0])]
        return outputs, state if direction else full[-1]
