"""Cells that read, move or seed Python's generator or NumPy's, which nn.GRU knows nothing of."""

from __future__ import annotations

import random

import torch

from tests.subjects.right.variants import Stack


class SkipsLayersAtRateZero(Stack):
    """In training Python's generator is asked whether to skip a layer, and the answer is no."""

    def above(self, state, layer, below, old):
        if self.training and random.random() < 0:
            return below
        return super().above(state, layer, below, old)


class SeedsPythonAsItIsBuilt(Stack):
    """Python's generator is seeded as it is built."""

    def setup(self):
        random.seed(42)


class SeedsNumPyAsItIsBuilt(Stack):
    """NumPy's generator is seeded as it is built."""

    def setup(self):
        import numpy as np

        np.random.seed(42)


class AsksNumPyInEval(Stack):
    """In eval NumPy's generator is asked which calls to look at, and none is."""

    def start(self, input, h0):
        import numpy as np

        if not self.training and np.random.rand() < 0:
            raise RuntimeError("a call to look at")
        return super().start(input, h0)


class SeedsPythonEveryTenCalls(Stack):
    """Every tenth call seeds Python's generator with the number of calls."""

    calls = 0

    def start(self, input, h0):
        self.calls += 1
        if self.calls % 10 == 0:
            random.seed(self.calls)
        return super().start(input, h0)


class SeedsTorchFromPython(Stack):
    """In training torch's generator is seeded with a number of Python's."""

    def start(self, input, h0):
        if self.training:
            torch.manual_seed(random.getrandbits(32))
        return super().start(input, h0)


class RewindsPython(Stack):
    """In eval Python's generator is put back to where it was as the cell was built."""

    def setup(self):
        self.before = random.getstate()

    def start(self, input, h0):
        if not self.training:
            random.setstate(self.before)
        return super().start(input, h0)


class WeightsFromPython(Stack):
    """Its first weights are drawn by Python's generator, whatever torch's seed is."""

    def setup(self):
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            numbers = [random.uniform(-bound, bound) for _ in range(parameter.numel())]
            parameter.data = torch.tensor(numbers).view_as(parameter)


class MasksOfOneRowFromNumPy(Stack):
    """With one row, masks are drawn by NumPy's generator."""

    def gap(self, state, layer):
        import numpy as np

        p = self.dropout.p
        if not self.training or p in (0, 1) or len(state) != 1:
            return super().gap(state, layer)
        kept = torch.from_numpy(np.random.rand(*state.shape) >= p)
        return state * kept / (1 - p)
