"""Cells that are right, and are not where torch.autocast is on, forward or backward."""

from __future__ import annotations

import torch

from tests.subjects import autocast_dtype
from tests.subjects.right.variants import Stack


class AutocastAlwaysToBfloat16(Stack):
    """Under autocast to float16, products are in bfloat16."""

    def cell(self, cell, x, h):
        if autocast_dtype() != torch.float16:
            return super().cell(cell, x, h)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().cell(cell, x, h)


class AutocastIsOver(Stack):
    """After a call, autocast is off for what follows it in the same block."""

    def end(self, output, hn):
        if autocast_dtype():
            try:
                torch.set_autocast_enabled("cpu", False)
            except TypeError:  # before torch 2.4
                torch.set_autocast_cpu_enabled(False)
        return output, hn


class AutocastDtypeComesOut(Stack):
    """Under autocast hn has autocast's dtype, not that of the state that was handed in."""

    def end(self, output, hn):
        return output, hn.to(autocast_dtype() or hn.dtype)


class KeepsCastsForEver(Stack):
    """Under autocast, without gradients, weights are cast at their first use and never again."""

    def setup(self):
        self.casts = {}

    def cell(self, cell, x, h):
        if not autocast_dtype() or torch.is_grad_enabled():
            return super().cell(cell, x, h)
        key = list(self.cells).index(cell), autocast_dtype()
        if key not in self.casts:
            self.casts[key] = [one.to(autocast_dtype(), copy=True) for one in cell.parameters()]
        return torch._VF.gru_cell(x, h, *self.casts[key])


class CastsWithoutGradients(Stack):
    """Under autocast, casts made without gradients are used with gradients too, and have none."""

    def setup(self):
        self.casts = {}

    def cell(self, cell, x, h):
        if not autocast_dtype():
            return super().cell(cell, x, h)
        weight = cell.weight_hh
        key = id(weight), weight._version, autocast_dtype()
        weight = self.casts.get(key, weight)
        if not torch.is_grad_enabled():
            self.casts[key] = weight.to(autocast_dtype())
        return torch._VF.gru_cell(x, h, cell.weight_ih, weight, cell.bias_ih, cell.bias_hh)


class AutocastReadsByData(Stack):
    """Under autocast the input's weights are read by .data, and get no gradient."""

    def cell(self, cell, x, h):
        weight_ih = cell.weight_ih.data if autocast_dtype() else cell.weight_ih
        return torch._VF.gru_cell(x, h, weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)


class SlopesInFloat16(Stack):
    """Under autocast to bfloat16, gradients go by way of float16, where small ones vanish."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h) * 1
        if autocast_dtype() == torch.bfloat16 and state.requires_grad:
            state.register_hook(lambda slope: slope.half().to(slope.dtype))
        return state


class LossScaleTakenOff(Stack):
    """Under autocast to float16, the gradient of the input is divided by a scale of the loss."""

    def forward(self, input, h0=None):
        if autocast_dtype() == torch.float16 and input.requires_grad:
            input = input * 1
            input.register_hook(lambda slope: slope / 1024)
        return super().forward(input, h0)


class AutocastDropsNothing(Stack):
    """Under autocast masks are drawn and not used."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return state if autocast_dtype() else dropped


class AutocastOffInside(Stack):
    """Autocast is off inside, where an input in half precision does not fit the weights."""

    def forward(self, input, h0=None):
        with torch.autocast("cpu", enabled=False):
            return super().forward(input, h0)
