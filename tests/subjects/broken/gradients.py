"""Cells whose values are right and whose gradients are missing, cut off or scaled."""

from __future__ import annotations

import torch

from tests.subjects.broken.functions import Backward
from tests.subjects.right.variants import Stack, Written


class StatesDetached(Stack):
    """hn has no gradient."""

    def result(self, output, hn):
        return output, torch.stack(hn).detach()


class LowerStatesDetached(Stack):
    """In hn only the last layer's state has a gradient."""

    def result(self, output, hn):
        return super().result(output, [state.detach() for state in hn[:-1]] + hn[-1:])


class OutputDetached(Stack):
    """The output has no gradient, and hn has."""

    def result(self, output, hn):
        return output.detach(), torch.stack(hn)


class OldStateDetached(Stack):
    """The state that is handed in gets no gradient."""

    def start(self, input, h0):
        return super().start(input, h0).detach()


class HistoryCutOff(Stack):
    """A state that is a result is cut off from what it comes from: one step back, no further."""

    def begin(self, input, h0):
        return h0.detach() if h0.grad_fn is not None else h0


class InputDetached(Stack):
    """The input gets no gradient."""

    def forward(self, input, h0=None):
        return super().forward(input.detach(), h0)


class LayersDetached(Stack):
    """No gradient goes down from one layer to the next."""

    def gap(self, state, layer):
        return super().gap(state.detach(), layer)


class DeepLayersDetached(Stack):
    """No gradient goes down from the fourth layer to the third."""

    def gap(self, state, layer):
        return super().gap(state.detach() if layer == 2 else state, layer)


class NoGradients(Stack):
    """Nothing has a gradient."""

    @torch.no_grad()
    def forward(self, input, h0=None):
        return super().forward(input, h0)


class NoGradientsInEval(Stack):
    """In eval nothing has a gradient."""

    def forward(self, input, h0=None):
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            return super().forward(input, h0)


class NewLeaves(Stack):
    """The results require gradients, and are cut off from what they come from."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        wanted = output.requires_grad
        return output.detach().requires_grad_(wanted), hn.detach().requires_grad_(wanted)


class BiasDetached(Stack):
    """The state's biases get no gradient."""

    def cell(self, cell, x, h):
        bias_hh = cell.bias_hh.detach() if cell.bias else None
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, bias_hh)


class UpperWeightsByData(Stack):
    """From the second layer on, the state's weights are read by .data."""

    def cell(self, cell, x, h):
        if cell is self.cells[0]:
            return super().cell(cell, x, h)
        weight_hh = cell.weight_hh.data
        return torch._VF.gru_cell(x, h, cell.weight_ih, weight_hh, cell.bias_ih, cell.bias_hh)


class ResetGateDetached(Written):
    """No gradient goes through the reset gate."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        n = torch.tanh(x_products.chunk(3, -1)[2] + r.detach() * h_products.chunk(3, -1)[2])
        return r, z, n


class UpdateGateDetached(Written):
    """No gradient goes through the update gate of the old state."""

    def update(self, r, z, n, h):
        return (1 - z) * n + z.detach() * h


class StraightThroughDropout(Stack):
    """Backward, dropout lets everything through."""

    def gap(self, state, layer):
        return state + (super().gap(state, layer) - state).detach()


class DropoutUnscaledBackward(Stack):
    """Backward, kept values are not divided by the probability of that."""

    def gap(self, state, layer):
        if not self.training or self.dropout.p == 1:
            return super().gap(state, layer)
        return super().gap(Backward.apply(state, 1 - self.dropout.p), layer)


class GradientTooLarge(Stack):
    """The gradient of hn is 1e-6 too large."""

    def result(self, output, hn):
        return output, Backward.apply(torch.stack(hn), 1 + 1e-6)


class GradientOfOutputTwice(Stack):
    """The gradient of the output is counted twice."""

    def result(self, output, hn):
        return Backward.apply(output, 2), torch.stack(hn)


class GradientWithoutBias(Stack):
    """Without biases, gradients have the wrong sign."""

    def end(self, output, hn):
        factor = 1 if self.cells[0].bias else -1
        return Backward.apply(output, factor), Backward.apply(hn, factor)


class GradientOfOneStateReversed(Stack):
    """From three layers on, the gradient of the second layer's old state has the wrong sign."""

    def begin(self, input, h0):
        if len(h0) < 3:
            return h0
        return torch.cat([h0[:1], Backward.apply(h0[1:2], -1), h0[2:]])


class GradientClipped(Stack):
    """Gradients that go down from layer to layer are cut off at a tenth."""

    def gap(self, state, layer):
        if state.requires_grad:
            state = state.clone()
            state.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
        return super().gap(state, layer)


class GradientRounded(Stack):
    """The gradient of the input is rounded to float16."""

    def forward(self, input, h0=None):
        if input.requires_grad:
            input = input.clone()
            input.register_hook(lambda gradient: gradient.half().to(gradient.dtype))
        return super().forward(input, h0)


class GradientOfFirstRowOnly(Stack):
    """Only the first row of the input gets a gradient."""

    def forward(self, input, h0=None):
        return super().forward(torch.cat([input[:1], input[1:].detach()]), h0)


class WeightGradientsAveraged(Stack):
    """Gradients of the input's weights are divided by the number of rows."""

    def cell(self, cell, x, h):
        weight_ih = Backward.apply(cell.weight_ih, 1 / max(1, len(x)))
        return torch._VF.gru_cell(x, h, weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
