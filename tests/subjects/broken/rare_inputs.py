"""Cells that are wrong in a corner only: at some width, depth, batch, dtype, value or rate."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack, Written


class NarrowWithoutBias(Stack):
    """Below eight units, the state's biases are left out."""

    def cell(self, cell, x, h):
        if self.hidden_size >= 8 or not cell.bias:
            return super().cell(cell, x, h)
        nothing = torch.zeros_like(cell.bias_hh)
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, nothing)


class WideUnitsStay(Stack):
    """Units beyond the fiftieth keep their old state."""

    def cell(self, cell, x, h):
        return torch.cat([super().cell(cell, x, h)[:, :50], h[:, 50:]], 1)


class LateRowsStay(Stack):
    """Rows beyond the fourteenth keep their old state."""

    def cell(self, cell, x, h):
        return torch.cat([super().cell(cell, x, h)[:14], h[14:]])


class OddUnitStays(Stack):
    """With an odd number of units above one, the last keeps its old state."""

    def cell(self, cell, x, h):
        even = max(1, self.hidden_size // 2 * 2)
        return torch.cat([super().cell(cell, x, h)[:, :even], h[:, even:]], 1)


class WideInputIgnored(Stack):
    """Inputs beyond the forty-eighth are taken for zero."""

    def forward(self, input, h0=None):
        zeros = torch.zeros_like(input[:, 48:])
        return super().forward(torch.cat([input[:, :48], zeros], 1), h0)


class SquareWeightsTransposed(Written):
    """Where a layer's input is as wide as its state, the candidate's weights are transposed."""

    def linear(self, x, weight, bias):
        if x.shape[-1] == self.hidden_size and weight is self.cells[-1].weight_ih:
            r, z, n = weight.chunk(3)
            weight = torch.cat([r, z, n.T])
        return super().linear(x, weight, bias)


class OneUnitWithoutReset(Written):
    """With one unit the reset gate is always open."""

    def activate(self, x_products, h_products):
        r, z, n = super().activate(x_products, h_products)
        if self.hidden_size == 1:
            n = torch.tanh(x_products.chunk(3, -1)[2] + h_products.chunk(3, -1)[2])
        return r, z, n


class NoBiasNoReset(Written):
    """Without biases the reset gate is always open."""

    def gates(self, cell, x, h):
        r, z, n = super().gates(cell, x, h)
        if not cell.bias:
            n_products = self.linear(x, cell.weight_ih, None) + self.linear(h, cell.weight_hh, None)
            n = torch.tanh(n_products.chunk(3, -1)[2])
        return r, z, n


class LargeInputClipped(Stack):
    """Inputs are cut off at one hundred."""

    def forward(self, input, h0=None):
        return super().forward(input.clamp(-100, 100), h0)


class SinglePrecisionInputClipped(Stack):
    """In float32, inputs are cut off at three."""

    def forward(self, input, h0=None):
        return super().forward(input.clamp(-3, 3) if input.dtype == torch.float32 else input, h0)


class LargeNegativeStateLosesItsSign(Stack):
    """Below minus twenty, the old state loses its sign."""

    def begin(self, input, h0):
        return torch.where(h0 < -20, -h0, h0)


class SaturatedGateSticks(Written):
    """An update gate above 0.999 is taken for one."""

    def update(self, r, z, n, h):
        return super().update(r, torch.where(z > 0.999, torch.ones_like(z), z), n, h)


class ClosedGateSticks(Written):
    """A reset gate below 0.001 is taken for zero."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        r = torch.where(r < 1e-3, torch.zeros_like(r), r)
        return r, z, torch.tanh(x_products.chunk(3, -1)[2] + r * h_products.chunk(3, -1)[2])


class ZeroStateSkipsTheBias(Written):
    """Where all states are zero, the state's biases are skipped together with its product."""

    def linear(self, x, weight, bias):
        is_state = any(weight is cell.weight_hh for cell in self.cells)
        return super().linear(x, weight, None if is_state and not x.any() else bias)


class ZeroInputIsPadding(Stack):
    """A row of zeros in the input is taken for padding, and the state stays."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        if cell is not self.cells[0]:
            return state
        return torch.where((x == 0).all(-1, keepdim=True), h, state)


class NanTakenForZero(Stack):
    """NaN in the input or in the state is taken for zero."""

    def forward(self, input, h0=None):
        h0 = self.start(input, h0)
        return super().forward(*(torch.where(x.isnan(), 0.0, x).to(x) for x in (input, h0)))


class NanInOneRowSpreads(Stack):
    """NaN in one row goes into all rows."""

    def begin(self, input, h0):
        return h0 + 0 * input.sum() if input.numel() else h0


class NoLastBiasInFloat16(Stack):
    """In float16 the last layer has no biases."""

    def cell(self, cell, x, h):
        if h.dtype == torch.float16 and cell is self.cells[-1]:
            return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, None, None)
        return super().cell(cell, x, h)


class NoGapInBfloat16(Stack):
    """In bfloat16 nothing goes up above the second layer but zeros."""

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return dropped * 0 if layer and state.dtype == torch.bfloat16 else dropped


class GainInTraining(Stack):
    """In training the new state is 1e-6 too large."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-6 * self.training)


class GainAtOneRow(Stack):
    """With one row the new state is 1e-6 too large."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-6 * (len(x) == 1))


class GainInTheSixthLayer(Stack):
    """In the sixth layer the new state is 1e-6 too large."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-6 * (cell in list(self.cells)[5:]))


class LastUnitOfTwoMissesTheInput(Written):
    """With two units, the second one's candidate does not see the input's bias."""

    def linear(self, x, weight, bias):
        if self.hidden_size == 2 and bias is not None:
            bias = bias * bias.new_tensor([1, 1, 1, 1, 1, 0])
        return super().linear(x, weight, bias)


class OneInputLosesItsSign(Stack):
    """With an input of width one, its sign is lost."""

    def forward(self, input, h0=None):
        return super().forward(input.abs() if input.shape[-1] == 1 else input, h0)


class NoStateAtHighRates(Stack):
    """At rates above 0.8 the upper layers start from zeros in training."""

    def begin(self, input, h0):
        forgets = self.training and self.dropout.p > 0.8
        return torch.cat([h0[:1], 0 * h0[1:]]) if forgets else h0


class RowsBeyondEightSwapped(Stack):
    """From nine rows on, the first two rows are swapped in the output."""

    def result(self, output, hn):
        if len(output) > 8:
            output = torch.cat([output[[1, 0]], output[2:]])
        return super().result(output, hn)


class DeepAndWideFails(Stack):
    """From four layers of more than 24 units on, it raises."""

    def start(self, input, h0):
        if self.num_layers >= 4 and self.hidden_size > 24:
            raise MemoryError("too many units")
        return super().start(input, h0)


class EmptyBatchGivesARow(Stack):
    """With an empty batch it gives one row of zeros."""

    def forward(self, input, h0=None):
        if len(input):
            return super().forward(input, h0)
        output = input.new_zeros(1, self.hidden_size)
        return output, output.expand(self.num_layers, 1, -1)


class EmptyBatchIsDetached(Stack):
    """With an empty batch the result has no gradient, where nn.GRU's is zero."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return (output, hn) if len(input) else (output.detach(), hn.detach())


class EmptyBatchWithoutLayers(Stack):
    """With an empty batch hn has one layer only."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return output, hn if len(input) else hn[:1]
