"""Cells that are too coarse in half precision, lean one way there, or lose a NaN of a weight."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack, Written


def _in_float32(cell, x, h):
    weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    weights = [None if one is None else one.float() for one in weights]
    return torch._VF.gru_cell(x.float(), h.float(), *weights)


def _instead(state, other):
    """Return the other's values with the state's derivatives."""
    return state + (other - state).nan_to_num(0.0).detach()


def _cut_off(numbers, bits):
    """Return float32 numbers without their last bits."""
    return (numbers.contiguous().view(torch.int32) & -(2**bits)).view(torch.float32)


class TruncatesToBfloat16(Stack):
    """In bfloat16 the new state is cut off after eight bits, and not rounded."""

    def cell(self, cell, x, h):
        if h.dtype != torch.bfloat16:
            return super().cell(cell, x, h)
        state = _in_float32(cell, x, h)
        return _instead(state, _cut_off(state.detach(), 16)).bfloat16()


class UpdateGateRoundedDown(Written):
    """In float16 the update gate is rounded down to 1 / 1024."""

    def update(self, r, z, n, h):
        if z.dtype == torch.float16:
            z = _instead(z.float(), (z.float() * 1024).floor() / 1024).half()
        return super().update(r, z, n, h)


class SumsInBfloat16(Written):
    """In bfloat16 a product is summed up term by term, and rounded after each."""

    def linear(self, x, weight, bias):
        if x.dtype != torch.bfloat16:
            return super().linear(x, weight, bias)
        product = x.new_zeros(len(x), len(weight))
        for values, weights in zip(x.unbind(1), weight.unbind(1), strict=True):
            product = product + values.unsqueeze(1) * weights
        return product if bias is None else product + bias


class Float16ByWayOfBfloat16(Stack):
    """In float16 the new state is rounded to bfloat16 on its way."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state.bfloat16().half() if state.dtype == torch.float16 else state


class Bfloat16ByWayOfFloat16(Stack):
    """In bfloat16 the new state goes by way of float16, where large ones are infinite."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state.half().bfloat16() if state.dtype == torch.bfloat16 else state


class BitsLostWithDepth(Stack):
    """In bfloat16 a state has a bit less in every layer, down to four."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        if state.dtype != torch.bfloat16:
            return state
        bits = max(4, 8 - list(self.cells).index(cell))
        mantissa, exponent = torch.frexp(state.detach().float())
        rounded = torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)
        return _instead(state.float(), rounded).bfloat16()


class SlopesCutOffInBfloat16(Stack):
    """In bfloat16, gradients that go down from layer to layer are cut off after six bits."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer) * 1
        if dropped.requires_grad and dropped.dtype == torch.bfloat16:
            dropped.register_hook(lambda slope: _cut_off(slope.float(), 18).bfloat16())
        return dropped


class NanInAWeightLost(Stack):
    """NaN in a weight is taken for zero."""

    def cell(self, cell, x, h):
        limits = {"neginf": -torch.inf, "posinf": torch.inf}
        weights = (one.nan_to_num(0.0, **limits) for one in (cell.weight_ih, cell.weight_hh))
        return torch._VF.gru_cell(x, h, *weights, cell.bias_ih, cell.bias_hh)


class NanInABiasHeld(Stack):
    """The state's biases are held above -30000 by a maximum that passes over NaN."""

    def cell(self, cell, x, h):
        bias_hh = cell.bias_hh
        if cell.bias:
            bias_hh = torch.fmax(bias_hh, torch.full_like(bias_hh, -30000.0))
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, bias_hh)
