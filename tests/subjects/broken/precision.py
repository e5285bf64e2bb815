"""Cells that are too inexact, from grossly to just above rounding."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack, Written


class Gain(Stack):
    """The new state is 1e-9 too large: far above float64's rounding, far below float32's."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-9)


class GainInSinglePrecision(Stack):
    """In float32 the new state is 1e-5 too large."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state * (1 + 1e-5) if state.dtype == torch.float32 else state


class AddsAnEpsilon(Stack):
    """1e-12 is added to every new state."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) + 1e-12


class SinglePrecisionInside(Written):
    """float64 is computed in float32."""

    def cell(self, cell, x, h):
        if h.dtype != torch.float64:
            return super().cell(cell, x, h)
        return super().cell(cell, x.float(), h.float()).double()

    def linear(self, x, weight, bias):
        return super().linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


class RoundedToBfloat16(Stack):
    """In float32 the new state is rounded to bfloat16."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state.bfloat16().float() if state.dtype == torch.float32 else state


class StateKeptInHalf(Stack):
    """In float32 the old state is rounded to float16, and is cut off where that ends."""

    def cell(self, cell, x, h):
        if h.dtype == torch.float32:
            h = h.clamp(-65504, 65504).half().float()
        return super().cell(cell, x, h)


class StateRoundedInFloat16(Stack):
    """In float16 the new state is rounded to 1 / 64."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        if state.dtype != torch.float16:
            return state
        return state + ((state * 64).round() / 64 - state).detach()  # the slope is that of state


class CandidateTooLargeInBfloat16(Written):
    """In bfloat16 the candidate is a tenth too large."""

    def tanh(self, sums):
        n = torch.tanh(sums)
        return n * 1.1 if n.dtype == torch.bfloat16 else n


class CandidateTooLargeInFloat16(Written):
    """In float16 the candidate is two hundredths too large."""

    def tanh(self, sums):
        n = torch.tanh(sums)
        return n * 1.02 if n.dtype == torch.float16 else n


class WeightsRoundedAbove(Written):
    """In all layers but the first, weights are rounded to bfloat16."""

    def gates(self, cell, x, h):
        if cell is self.cells[0]:
            return super().gates(cell, x, h)
        w_ih, w_hh = (w.bfloat16().to(w.dtype) for w in (cell.weight_ih, cell.weight_hh))
        return self.activate(self.linear(x, w_ih, cell.bias_ih), self.linear(h, w_hh, cell.bias_hh))


class FlushesBelow1e30(Stack):
    """New states below 1e-30 are taken for zero."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return torch.where(state.abs() < 1e-30, torch.zeros_like(state), state)


class SigmoidByTwoExps(Written):
    """The sigmoid is exp(x) / (1 + exp(x)), which is NaN where that overflows."""

    def sigmoid(self, sums):
        return torch.exp(sums) / (1 + torch.exp(sums))


class TanhByTwoExps(Written):
    """The tanh is made of exp(2 x): cancelled where x is small, and NaN where it is large."""

    def tanh(self, sums):
        return (torch.exp(2 * sums) - 1) / (torch.exp(2 * sums) + 1)


class TanhBySigmoid(Written):
    """The tanh is 2 sigmoid(2 x) - 1, which cancels where x is small."""

    def tanh(self, sums):
        return 2 * torch.sigmoid(2 * sums) - 1


class TanhBySeries(Written):
    """The tanh of small arguments is the first two terms of its series."""

    def tanh(self, sums):
        return torch.where(sums.abs() < 0.01, sums - sums**3 / 3, torch.tanh(sums))


class TanhByFraction(Written):
    """The tanh is a fraction of polynomials, cut off at one."""

    def tanh(self, sums):
        x = sums.clamp(-5, 5)
        return (x * (27 + x * x) / (27 + 9 * x * x)).clamp(-1, 1)


class SigmoidFromATable(Written):
    """The sigmoid is rounded to 1 / 4096."""

    def sigmoid(self, sums):
        s = torch.sigmoid(sums)
        return s + ((s * 4096).round() / 4096 - s).detach()


class LongSumsInBfloat16(Written):
    """Products of more than 32 terms are rounded to bfloat16."""

    def linear(self, x, weight, bias):
        product = super().linear(x, weight, bias)
        return product.bfloat16().to(product.dtype) if x.shape[-1] > 32 else product


class DropoutScaleRounded(Stack):
    """Kept values are multiplied by a scale of eight bits."""

    def gap(self, state, layer):
        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        scale = torch.tensor(1 / (1 - p)).bfloat16().to(state.dtype)
        return torch.where(self.dropout(torch.ones_like(state)) > 0, state * scale, 0.0).to(state)
