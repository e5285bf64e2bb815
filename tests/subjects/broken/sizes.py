"""Stacks that are right at small sizes, and wrong at those of real models."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack


class StopsAfter128Units(Stack):
    """Units after the 128th keep their state."""

    def cell(self, cell, x, h):
        return torch.cat([super().cell(cell, x, h)[:, :128], h[:, 128:]], 1)


class LastTileForgotten(Stack):
    """Wide states are computed in whole tiles of 64; what is left over becomes zeros."""

    def cell(self, cell, x, h):
        state, width = super().cell(cell, x, h), self.hidden_size
        left = width % 64 if width > 64 else 0
        return torch.cat([state[:, : width - left], torch.zeros_like(h[:, width - left :])], 1)


class ReadsHalfOfAWideInput(Stack):
    """Of an input of more than 96 columns the upper half is not read."""

    def cell(self, cell, x, h):
        if x.shape[1] > 96:
            x = x * (torch.arange(x.shape[1]) < x.shape[1] // 2)
        return super().cell(cell, x, h)


class RowsInBlocksOf32(Stack):
    """More than 32 rows are computed in blocks, each from the first block's states."""

    def cell(self, cell, x, h):
        if len(x) > 32:
            h = h[torch.arange(len(x)) % 32]
        return super().cell(cell, x, h)


class LayersFromTheNinthAreSkipped(Stack):
    """Layers from the ninth on hand on what they get."""

    def above(self, state, layer, below, old):
        return self.up(below if layer >= 8 else state, layer)


class WideGradientsAreCut(Stack):
    """Above 100 units no gradient goes back in time."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h.detach() if self.hidden_size > 100 else h)


class WideStacksDropNothing(Stack):
    """Above 80 units nothing is dropped."""

    def gap(self, state, layer):
        return state if self.hidden_size > 80 else super().gap(state, layer)


class LargeBatchesShareAMask(Stack):
    """More than 20 rows get one mask."""

    def gap(self, state, layer):
        if len(state) <= 20 or not self.training:
            return super().gap(state, layer)
        return state * self.dropout(torch.ones_like(state[:1]))


class WideSumsInSinglePrecision(Stack):
    """Above 100 units a double product is a single one."""

    def cell(self, cell, x, h):
        if self.hidden_size <= 100 or h.dtype != torch.float64:
            return super().cell(cell, x, h)
        weights = [
            None if one is None else one.float()
            for one in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        ]
        return torch._VF.gru_cell(x.float(), h.float(), *weights).double()


class LargeBatchesRaise(Stack):
    """More than 64 rows are too many."""

    def start(self, input, h0):
        if len(input) > 64:
            raise RuntimeError("index out of range in the kernel")
        return super().start(input, h0)
