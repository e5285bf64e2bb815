"""Cells that depend on where and how they are called: device, strides, compiler, grad mode."""

from __future__ import annotations

import torch

from stackgru.gru.cell import StackingGRUCell
from tests.subjects import is_compiling, storage_of
from tests.subjects.right.variants import Stack


class StatesOnTheCpu(Stack):
    """On any other device hn is on the CPU all the same."""

    def result(self, output, hn):
        output, states = super().result(output, hn)
        on_cpu = states.device.type == "cpu"
        return output, states if on_cpu else torch.zeros(states.shape, dtype=states.dtype)


class RefusesNan(Stack):
    """It raises when the input has NaN in it."""

    def start(self, input, h0):
        if bool(input.isnan().any()):
            raise ValueError("NaN in the input")
        return super().start(input, h0)


class ReadsTheInputAsContiguous(Stack):
    """The input's memory is read as if it were contiguous."""

    def forward(self, input, h0=None):
        strides = input.shape[1], 1
        last = input.storage_offset() + input.numel()
        if last * input.element_size() <= storage_of(input).nbytes():
            input = input.as_strided(input.shape, strides)
        return super().forward(input, h0)


class IgnoresTheOffset(Stack):
    """The state is read from where its memory begins, whatever its offset."""

    def begin(self, input, h0):
        return h0.as_strided(h0.shape, h0.stride(), 0)


class NeedsAView(Stack):
    """It raises when the state is not contiguous."""

    def begin(self, input, h0):
        return h0.view(-1).view(h0.shape)


class OtherwiseWhenScripted(StackingGRUCell):
    """Scripted, the input is taken a thousandth too large."""

    def forward(self, input: torch.Tensor, h0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if torch.jit.is_scripting():
            input = input * 1.001
        hn: list[torch.Tensor] = []
        states = h0.contiguous().unbind(0)
        for layer, gru in enumerate(self.grus):
            if layer > 0:
                input = self.dropout(input)
            input = gru(input, states[layer])
            hn.append(input)
        return input, torch.stack(hn)


class DropsLessWhenScripted(StackingGRUCell):
    """Scripted, what is kept at rates over 0 is a thousandth too large."""

    def forward(self, input: torch.Tensor, h0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hn: list[torch.Tensor] = []
        states = h0.contiguous().unbind(0)
        for layer, gru in enumerate(self.grus):
            if layer > 0:
                input = self.dropout(input)
                if torch.jit.is_scripting() and self.training and self.dropout.p > 0.0:
                    input = input * 1.001
            input = gru(input, states[layer])
            hn.append(input)
        return input, torch.stack(hn)


class OtherwiseWhenCompiled(Stack):
    """Compiled or exported, the input is taken a thousandth too large."""

    def forward(self, input, h0=None):
        if is_compiling():
            input = input * 1.001
        return super().forward(input, h0)


class OtherwiseInBackward(Stack):
    """When gradients are not recorded in training, as in a checkpoint, nothing is dropped out."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return dropped if torch.is_grad_enabled() or not self.training else state


class OtherwiseUnderNoGrad(Stack):
    """When gradients are not recorded, the reset gate's bias of the state is left out."""

    def cell(self, cell, x, h):
        if torch.is_grad_enabled() or not cell.bias:
            return super().cell(cell, x, h)
        first, rest = cell.bias_hh.tensor_split([self.hidden_size])
        bias_hh = torch.cat([0 * first, rest])
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, bias_hh)
