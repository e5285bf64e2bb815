"""Right sequence modules as others write them, for (T, B, I) only; see forms_otherwise.py."""

from __future__ import annotations

import functools
import itertools
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.subjects import classes_in
from tests.subjects.right.otherwise import scripted
from tests.subjects.right.variants import Stack, Written


class _Layers(Written):
    def forward(self, input, h0=None):
        h0, hn = self.start(input[0], h0), []
        for layer, cell in enumerate(self.cells):
            input, state = self.layer(cell, input, h0[layer], layer)
            hn.append(state)
        return self.result(input, hn)

    def layer(self, cell, input, state, layer):
        outputs, state = self.over_time(cell, input, state)
        return self.up(outputs, layer), state

    def over_time(self, cell, input, state):
        steps = itertools.accumulate(input, functools.partial(self.next, cell), initial=state)
        outputs = list(steps)[1:]
        return torch.stack(outputs), outputs[-1]

    def next(self, cell, h, x):
        return self.cell(cell, x, h)


class Accumulated(_Layers):
    """The states of a layer are accumulated over the steps."""


class MergedAxes(_Layers):
    """Dropout takes the outputs of a layer as T * B rows."""

    def gap(self, state, layer):
        return self.dropout(state.flatten(0, 1)).unflatten(0, state.shape[:2])


class InputByConvolution(_Layers):
    """The products with the input are a convolution of width one."""

    def over_time(self, cell, input, state):
        x = F.conv1d(input.permute(1, 2, 0), cell.weight_ih.unsqueeze(-1), cell.bias_ih)
        outputs = []
        for x_products in x.permute(2, 0, 1):
            h_products = self.linear(state, cell.weight_hh, cell.bias_hh)
            state = self.update(*self.activate(x_products, h_products), state)
            outputs.append(state)
        return torch.stack(outputs), state


class FeaturesFirst(_Layers):
    """A layer's outputs are (H, T, B) inside; dropout takes them as (T, B, H)."""

    def over_time(self, cell, input, state):
        outputs = []
        for x in input:
            state = self.cell(cell, x, state)
            outputs.append(state.t())
        return torch.stack(outputs, 1), state

    def up(self, state, layer):
        return super().up(state.permute(1, 2, 0).contiguous(), layer)


class RecomputedOverTime(_Layers):
    """Each layer with its dropout is computed again for the backward pass, masks included."""

    def layer(self, cell, *args):
        return checkpoint(super().layer, cell, *args, use_reentrant=False)


@scripted
def _scripted_layer(x_products: Tensor, h: Tensor, weight: Tensor, bias: Optional[Tensor]):  # noqa: UP045
    outputs: list[Tensor] = []
    for x in x_products.unbind():
        x_r, x_z, x_n = x.chunk(3, -1)
        h_r, h_z, h_n = torch.nn.functional.linear(h, weight, bias).chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        h = n + torch.sigmoid(x_z + h_z) * (h - n)
        outputs.append(h)
    return torch.stack(outputs), h


class ScriptedLayer(_Layers):
    """Without a graph, as in ScriptedWithoutGraph, the loop over time is in TorchScript."""

    def over_time(self, cell, input, state):
        if torch.is_grad_enabled():
            return super().over_time(cell, input, state)
        products = self.linear(input, cell.weight_ih, cell.bias_ih)
        bias = cell.bias_hh.clone() if cell.bias else None
        return _scripted_layer(products, state.clone(), cell.weight_hh.clone(), bias)


class TilesOfRows(_Layers):
    """Three rows at a time go through a layer, its steps and its dropout."""

    def layer(self, cell, input, state, layer):
        tile, tiles = super().layer, zip(input.split(3, 1), state.split(3), strict=True)
        outputs, states = zip(*(tile(cell, *one, layer) for one in tiles), strict=True)
        return torch.cat(outputs, 1), torch.cat(states)


class FusedInEval(_Layers):
    """Written out in training; one fused call in eval, which rounds otherwise."""

    def forward(self, input, h0=None):
        if self.training:
            return super().forward(input, h0)
        has_bias = self.cells[0].bias
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if has_bias else 2]
        weights = [getattr(cell, name) for cell in self.cells for name in names]
        shape = has_bias, self.num_layers, 0.0, False, False, False
        return torch._VF.gru(input, self.start(input[0], h0), weights, *shape)


class Diagonals(Stack):
    """Layer after layer starts one step later: together they go along the diagonals."""

    def forward(self, input, h0=None):
        states, outputs = list(self.start(input[0], h0)), []
        below = [list(input), *([] for _ in self.cells[1:]), outputs]
        for diagonal in range(len(input) + self.num_layers - 1):
            for layer in range(self.num_layers - 1, -1, -1):
                if 0 <= diagonal - layer < len(input):
                    state = self.cells[layer](below[layer].pop(0), states[layer])
                    states[layer] = state.contiguous()
                    below[layer + 1].append(self.up(states[layer], layer))
        return self.result(torch.stack(outputs), states)


class Generators(Stack):
    """Each layer is a generator that takes its inputs from the layer below."""

    def forward(self, input, h0=None):
        hn = list(self.start(input[0], h0))
        steps = iter(input)
        for layer in range(self.num_layers):
            steps = self.generate(layer, steps, hn)
        output = torch.stack(list(steps))
        return self.result(output, hn)

    def generate(self, layer, steps, hn):
        for x in steps:
            hn[layer] = self.cells[layer](x, hn[layer]).contiguous()
            yield self.up(hn[layer], layer)


class MasksByBlocksOfSteps(Stack):
    """The masks of all layers are drawn for four steps at once."""

    def forward(self, input, h0=None):
        state, outputs = self.start(input[0], h0), []
        for block in input.split(4):
            shape = len(block), self.num_layers - 1, block.shape[1], self.hidden_size
            masks = self.dropout(block.new_ones(shape))
            for x, mask in zip(block, masks, strict=True):
                x, state = self.step(x, state, mask)
                outputs.append(x)
        return torch.stack(outputs), state

    def step(self, x, states, masks):
        new = [self.cells[0](x, states[0])]
        for cell, state, mask in zip(self.cells[1:], states[1:], masks, strict=False):
            new.append(cell(new[-1] * mask, state))
        return new[-1], torch.stack(new)


class RecomputedSteps(Stack):
    """Each step with its dropout is computed again for the backward pass, masks included."""

    def forward(self, input, h0=None):
        state, outputs = self.start(input[0], h0), []
        for x in input.unbind():
            output, state = checkpoint(super().forward, x, state, use_reentrant=False)
            outputs.append(output)
        return torch.stack(outputs), state


class _UnrollingCell(nn.GRUCell):
    def __init__(self, input_size, hidden_size, bias, rate):
        super().__init__(input_size, hidden_size, bias)
        self.rate = rate

    def forward(self, input, hx):
        outputs = []
        for x in F.dropout(input, self.rate, self.training):
            hx = super().forward(x, hx)
            outputs.append(hx.clone())
        return torch.stack(outputs), hx


class UnrollingCells(nn.Module):
    """A subclass of nn.GRUCell takes all steps of a layer, and drops its own input."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__()
        self.hidden_size = hidden_size
        above = [(hidden_size, hidden_size, bias, dropout)] * (num_layers - 1)
        sizes = [(input_size, hidden_size, bias, 0.0), *above]
        self.cells = nn.ModuleList(_UnrollingCell(*size) for size in sizes)

    def forward(self, x, h0=None):
        hn = [x.new_zeros(x.shape[1], self.hidden_size)] * len(self.cells) if h0 is None else [*h0]
        for layer, cell in enumerate(self.cells):
            x, hn[layer] = cell(x, hn[layer])
        return x, torch.stack(hn)


SEQUENCES = tuple(one for one in classes_in(__name__) if one.__doc__)
