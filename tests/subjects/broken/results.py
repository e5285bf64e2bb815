"""Cells whose values are right, in memory that is not what nn.GRU's results have."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.variants import Stack


class OneLayerSharesItsMemory(Stack):
    """With one layer, hn is a view of the output."""

    def result(self, output, hn):
        return (output, output.unsqueeze(0)) if len(hn) == 1 else super().result(output, hn)


class StatesPutTogetherByRow(Stack):
    """hn is put together batch first and transposed, so that it is not contiguous."""

    def result(self, output, hn):
        return output, torch.stack(hn, 1).transpose(0, 1)


class OutputInColumns(Stack):
    """In eval the output lies in memory column by column."""

    def end(self, output, hn):
        return output if self.training else output.t().contiguous().t(), hn


class PadsRowsToEight(Stack):
    """In eval rows are padded to a multiple of eight, and hn is cut out of what that gives."""

    def forward(self, input, h0=None):
        padding = 0, 0, 0, -len(input) % 8
        if self.training or not any(padding):
            return super().forward(input, h0)
        h0 = self.start(input, h0)
        output, hn = super().forward(F.pad(input, padding), F.pad(h0, padding))
        return output[: len(input)], hn[:, : len(input)]


class NoGradMeansInference(Stack):
    """Without gradients it runs in inference mode, and nobody may write to what comes out."""

    def forward(self, input, h0=None):
        if torch.is_grad_enabled():
            return super().forward(input, h0)
        with torch.inference_mode():
            return super().forward(input, h0)


class TwoBuffersInTurn(Stack):
    """In eval, without gradients, hn is overwritten by the second call after it."""

    def setup(self):
        self.pair = []

    def end(self, output, hn):
        if self.training or torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            return output, hn
        fit = [one for one in self.pair if (one.shape, one.dtype) == (hn.shape, hn.dtype)]
        buffer = fit[0].copy_(hn) if len(fit) == 2 else hn
        self.pair = [*fit[-1:], buffer]
        return output, buffer


class OutputInTheInputsMemory(Stack):
    """Without gradients, an input as wide as the state is overwritten, and is the output."""

    def end(self, output, hn):
        reusable = not torch.is_grad_enabled() and self.given.shape == output.shape
        given, self.given = self.given, None
        return given.copy_(output) if reusable else output, hn

    def start(self, input, h0):
        self.given = input
        return super().start(input, h0)


class AnchorsItsGraph(Stack):
    """In training the output hangs on a one that requires gradients, though all is frozen."""

    def end(self, output, hn):
        if self.training and torch.is_grad_enabled():
            one = torch.ones((), dtype=output.dtype, device=output.device, requires_grad=True)
            output = output * one
        return output, hn


class EvalDetachesItsWeights(Stack):
    """In eval the weights get no gradient, and the input and the state do."""

    def cell(self, cell, x, h):
        weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
        if not self.training:
            weights = [None if one is None else one.detach() for one in weights]
        return torch._VF.gru_cell(x, h, *weights)


class OutputRetainsItsGradient(Stack):
    """The output keeps its gradient in a .grad of its own after a backward pass."""

    def end(self, output, hn):
        if output.requires_grad:
            output.retain_grad()
        return output, hn
