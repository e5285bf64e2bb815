"""Each answer is "no" for what it asks, and for nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import stackgru
from stackgru.report.answers import QUESTIONS


class WrongWithoutGradients(nn.GRU):
    """In eval, where no gradients are recorded, hn is a little too large."""

    def forward(self, input, hx=None):
        output, hn = super().forward(input, hx)
        return output, hn if self.training or torch.is_grad_enabled() else hn * 1.001


class WrongInTrainingIfPacked(nn.GRU):
    """In training hn of packed rows is too large after more than one step."""

    def forward(self, input, hx=None):
        output, hn = super().forward(input, hx)
        is_long = isinstance(input, PackedSequence) and len(input.batch_sizes) > 1
        return output, hn * 1.001 if self.training and is_long else hn


class DrawsOneMoreAtOneStep(nn.GRU):
    """A step by itself draws a number before its masks."""

    def forward(self, input, hx=None):
        if self.training and torch.is_tensor(input) and len(input) == 1 and self.dropout:
            torch.rand(1)
        return super().forward(input, hx)


class StepByStep(nn.GRU):
    """A sequence of several steps is run step by step, so that its masks come in another order."""

    def forward(self, input, hx=None):
        if not torch.is_tensor(input) or input.dim() != 3 or self.batch_first or len(input) < 2:
            return super().forward(input, hx)
        if self.bidirectional or not self.training:
            return super().forward(input, hx)
        outputs = []
        for x in input:
            output, hx = super().forward(x[None], hx)
            outputs.append(output)
        return torch.cat(outputs), hx


class HalfOfItsGradient(nn.GRU):
    """The gradient of h0 is halved."""

    def forward(self, input, hx=None):
        if hx is not None and hx.requires_grad:
            hx = hx / 2 + (hx / 2).detach()
        return super().forward(input, hx)


class SetsThreads(nn.GRU):
    """A call leaves torch with another default dtype."""

    def forward(self, input, hx=None):
        torch.set_default_dtype(torch.float64)
        return super().forward(input, hx)


class RefusesAnEmptyBatch(nn.GRU):
    """There must be a row."""

    def forward(self, input, hx=None):
        if torch.is_tensor(input) and 0 in input.shape:
            raise ValueError("no rows")
        return super().forward(input, hx)


class OtherName(nn.GRU):
    """The state cannot be given by nn.GRU's name for it."""

    def forward(self, input, state=None):
        return super().forward(input, state)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (WrongWithoutGradients, "same_values"),
        (WrongInTrainingIfPacked, "same_training"),
        (DrawsOneMoreAtOneStep, "same_seeds_one_step"),
        (StepByStep, "same_seeds_whole_sequences"),
        (HalfOfItsGradient, "same_gradients"),
        (SetsThreads, "safe_conduct"),
        (RefusesAnEmptyBatch, "edge_inputs"),
        (OtherName, "drop_in"),
    ],
)
def test_each_answer_is_no_alone(target, answer):
    report = stackgru.check(target, seed=1)
    found = {name for name, one in report.answers.items() if one == "no"}
    assert found == {answer}, [
        (cause.sentence, cause.answers, cause.laws) for cause in report.causes
    ]
    assert {*report.answers.values()} == {"yes", "no"}
    assert list(report.answers) == list(QUESTIONS)
