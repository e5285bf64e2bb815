"""Cells that keep what they should read anew, or lose what torch's own tools hang on them."""

from __future__ import annotations

import collections

import torch
import torch.nn.functional as F
from torch import nn

from tests.subjects.right.variants import Stack

_RESULTS = collections.deque(maxlen=50)


class ViewsOfItsWeights(Stack):
    """Without gradients, weights are read from views, which follow no tensor put in their place."""

    def setup(self):
        self.views = [[one.data for one in cell.parameters()] for cell in self.cells]

    def _apply(self, fn, *args, **kwargs):
        super()._apply(fn, *args, **kwargs)
        self.setup()
        return self

    def __setstate__(self, state):
        super().__setstate__(state)
        self.setup()

    def cell(self, cell, x, h):
        if torch.is_grad_enabled():
            return super().cell(cell, x, h)
        return torch._VF.gru_cell(x, h, *self.views[list(self.cells).index(cell)])


class HooksPassedBy(Stack):
    """Calling it is calling forward, which no hook hears of."""

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


class HooksTwiceToWarmUp(Stack):
    """Its first call in eval is made twice, hooks and all."""

    warm = False

    def __call__(self, *args, **kwargs):
        if not self.training and not self.warm:
            self.warm = True
            super().__call__(*args, **kwargs)
        return super().__call__(*args, **kwargs)


class BackwardHooksOnTheLastLayer(Stack):
    """A full backward hook is hung on the last layer, and sees the gradients of that."""

    def register_full_backward_hook(self, *args, **kwargs):
        return self.cells[-1].register_full_backward_hook(*args, **kwargs)


class CollectsStatesOnItself(Stack):
    """New states are collected in an attribute, where two threads find each other's."""

    def start(self, input, h0):
        self.hn = []
        return super().start(input, h0)

    def above(self, state, layer, below, old):
        self.hn.append(state)
        return super().above(state, layer, below, old)

    def result(self, output, hn):
        hn, self.hn = self.hn, []
        return super().result(output, hn)


class DropsLessAfterAHundredCalls(Stack):
    """After a hundred calls in training the rate is half of what it was."""

    calls = 0

    def start(self, input, h0):
        self.calls += self.training
        return super().start(input, h0)

    def gap(self, state, layer):
        rate = self.dropout.p / 2 if self.calls > 100 else self.dropout.p
        return F.dropout(state, rate, self.training)


class HotPathInBfloat16(Stack):
    """After thirty-three calls without gradients, those have weights rounded to bfloat16."""

    calls = 0

    def start(self, input, h0):
        self.calls += not torch.is_grad_enabled()
        return super().start(input, h0)

    def cell(self, cell, x, h):
        if self.calls <= 33 or torch.is_grad_enabled():
            return super().cell(cell, x, h)
        return torch._VF.gru_cell(x, h, *(one.bfloat16().to(one) for one in cell.parameters()))


class KeepsItsLastResults(Stack):
    """The last fifty results of all such cells are kept, and their graphs with them."""

    def end(self, output, hn):
        _RESULTS.append((output, hn))
        return output, hn


class OnlyFloatsAreRates(Stack):
    """A rate that is an int, as 1 is, drops nothing."""

    def setup(self):
        if not isinstance(self.dropout.p, float):
            self.dropout = nn.Dropout(0.0)


class LoadsByData(Stack):
    """Loading a state_dict makes the weights share memory with what is loaded."""

    def load_state_dict(self, state_dict, *args, **kwargs):
        result = super().load_state_dict(state_dict, *args, **kwargs)
        for name, parameter in self.named_parameters():
            if name in state_dict and parameter.dtype == state_dict[name].dtype:
                parameter.data = state_dict[name].data
        return result


class StateDictIsACopy(Stack):
    """A state_dict is a copy, which later training does not change and no one can write through."""

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        for key in state:
            if key.startswith(kwargs.get("prefix", "")):
                state[key] = state[key].clone()
        return state
