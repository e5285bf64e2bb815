"""Cells that do more than compute: they write where they must not, remember, or change modes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.variants import Stack


class Drifts(Stack):
    """The result moves a little with every call."""

    calls = 0

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 1e-9 * self.calls)

    def end(self, output, hn):
        self.calls += 1
        return output, hn


class WritesToItsInput(Stack):
    """The input is filled with zeros when it has been used."""

    def forward(self, input, h0=None):
        result = super().forward(input, h0)
        input.detach().zero_()
        return result


class WritesToItsState(Stack):
    """The new states are written over those that were handed in."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is not None:
            h0.detach().copy_(hn.detach())
        return output, hn


class WritesToItsInputInTraining(Stack):
    """In training the input is multiplied by zero in place, when it has been used."""

    def forward(self, input, h0=None):
        result = super().forward(input, h0)
        if self.training:
            input.detach().mul_(0)
        return result


class WeightsDecay(Stack):
    """Every call in training makes the first layer's weights 1e-6 smaller."""

    def forward(self, input, h0=None):
        result = super().forward(input, h0)
        if self.training:
            self.cells[0].weight_ih.data.mul_(1 - 1e-6)
        return result


class SetsTheDefaultDtype(Stack):
    """Its input's dtype becomes torch's default."""

    def start(self, input, h0):
        torch.set_default_dtype(input.dtype)
        return super().start(input, h0)


class TurnsGradientsOff(Stack):
    """Calls in eval turn gradients off for good."""

    def result(self, output, hn):
        results = super().result(output, hn)
        torch.set_grad_enabled(self.training)
        return results


class TurnsGradientsOn(Stack):
    """Calls in training turn gradients on for good."""

    def result(self, output, hn):
        if self.training:
            torch.set_grad_enabled(True)
        return super().result(output, hn)


class SetsThreads(Stack):
    """The number of threads is set to two."""

    def start(self, input, h0):
        torch.set_num_threads(2)
        return super().start(input, h0)


class SetsDeterminism(Stack):
    """Deterministic algorithms are turned on for everybody."""

    def start(self, input, h0):
        torch.use_deterministic_algorithms(True)
        return super().start(input, h0)


class SeedsAsItIsBuilt(Stack):
    """Torch's generator is seeded before the weights are drawn, so that all have the same."""

    def __init__(self, *args, **kwargs):
        torch.manual_seed(1215)
        super().__init__(*args, **kwargs)


class SetsDeterminismAsItIsBuilt(Stack):
    """Who builds it has deterministic algorithms turned the other way."""

    def setup(self):
        torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())


class Thaws(Stack):
    """In training every parameter requires gradients again, frozen or not."""

    def start(self, input, h0):
        if self.training:
            self.requires_grad_()
        return super().start(input, h0)


class EvalSticks(Stack):
    """After a call in eval nothing is dropped out any more."""

    def result(self, output, hn):
        if not self.training:
            self.dropout.p = 0.0
        return super().result(output, hn)


class EvalIsOver(Stack):
    """Every call puts it into training."""

    def result(self, output, hn):
        self.train()
        return super().result(output, hn)


class TrainingIsOver(Stack):
    """Its fourth call in training puts it into eval."""

    calls = 0

    def start(self, input, h0):
        self.calls += self.training
        if self.calls == 4:
            self.eval()
        return super().start(input, h0)


class ModeOfTheFirstCall(Stack):
    """The mode of the first call holds for all."""

    mode = None

    def gap(self, state, layer):
        self.mode = self.training if self.mode is None else self.mode
        return F.dropout(state, self.dropout.p, self.mode)


class RemembersByShape(Stack):
    """In eval, the first input of a shape is taken for all later ones of that shape."""

    def setup(self):
        self.known = {}

    def forward(self, input, h0=None):
        if not self.training:
            input = self.known.setdefault(input.shape, input)
        return super().forward(input, h0)


class RemembersByAddress(Stack):
    """The result for an input at an address is given for what is there later, in eval."""

    def setup(self):
        self.known = {}

    def forward(self, input, h0=None):
        if self.training or h0 is None:
            return super().forward(input, h0)
        key = (input.data_ptr(), input.shape, input.dtype)
        if key not in self.known:
            self.known[key] = super().forward(input, h0)
        return self.known[key]


class RemembersByIdentity(Stack):
    """In eval, the very tensors of the call before get its result, whatever is in them now."""

    last = None

    def forward(self, input, h0=None):
        if self.training or torch.is_grad_enabled():
            return super().forward(input, h0)
        if self.last is None or self.last[0] is not input or self.last[1] is not h0:
            self.last = input, h0, super().forward(input, h0)
        return tuple(result.clone() for result in self.last[2])


class OverwritesItsLastResult(Stack):
    """In eval every hn of a shape is written into the same memory."""

    kept = None

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if self.training or hn.requires_grad:
            return output, hn
        if self.kept is None or self.kept.shape != hn.shape or self.kept.dtype != hn.dtype:
            self.kept = torch.empty_like(hn)
        self.kept.copy_(hn)
        return output, self.kept


class ResultIsTheArgument(Stack):
    """In eval hn is the memory of the state that was handed in."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is None or self.training or hn.requires_grad:
            return output, hn
        return output, h0.copy_(hn)


class RarelyWrong(Stack):
    """Every five hundredth call of any of its kind gives a wrong result."""

    calls = 0

    def result(self, output, hn):
        RarelyWrong.calls += 1
        if RarelyWrong.calls % 500 == 0:
            hn[-1] = output = output + 1e-3
        return super().result(output, hn)


class FirstBatchIsTheLargest(Stack):
    """It raises when a batch has more rows than its first."""

    rows = None

    def start(self, input, h0):
        self.rows = len(input) if self.rows is None else self.rows
        if len(input) > self.rows:
            raise ValueError("the buffers are too small")
        return super().start(input, h0)


class RowsOfTheFirstCall(Stack):
    """Rows beyond the number of the first call's get zeros."""

    rows = None

    def begin(self, input, h0):
        self.rows = len(input) if self.rows is None else self.rows
        return torch.cat([h0[:, : self.rows], torch.zeros_like(h0[:, self.rows :])], 1)
