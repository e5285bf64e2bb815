"""Whatever a violation depends on stands in its case, as small as it can be."""

from __future__ import annotations

import re

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.outcomes import Violated
from stackgru.targets.probe import supported_casts
from tests.helpers import ROOT, law_run
from tests.subjects.broken.contexts import NeedsAView, ReadsTheInputAsContiguous
from tests.subjects.broken.derivatives import FrozenBelowDetaches
from tests.subjects.broken.forms import BatchFirstTurnsTheRowsOfItsState
from tests.subjects.broken.layouts import (
    PackedAsPadded,
    ReverseLeftReversed,
    UnbatchedStateHasRows,
)
from tests.subjects.broken.rare_inputs import NanTakenForZero
from tests.subjects.broken.results import AnchorsItsGraph
from tests.subjects.broken.situations import LearnedStateByData
from tests.subjects.broken.sizes import RowsInBlocksOf32, StopsAfter128Units
from tests.subjects.broken.stored import DropsLessAfterAHundredCalls
from tests.subjects.broken.under_autocast import LossScaleTakenOff
from tests.subjects.broken.ways import InferenceDropsNothing, TrainsFromOnes
from tests.subjects.right.sequences import LayerByLayer
from tests.subjects.right.variants import Stack

pytestmark = pytest.mark.usefixtures("no_symptoms")


class PeeksFromTheSecondStep(LayerByLayer):
    """From the second step on, an output depends on the next input."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        later = input.roll(-1, 0).sum(-1, keepdim=True)
        later[-1] = later[:1] = 0
        return output + later, hn


class SecondRowAlone(Stack):
    """The second row of three is a mean of its neighbours."""

    def end(self, output, hn):
        if hn.shape[1] == 3:
            hn, output = hn.clone(), output.clone()
            hn[:, 1], output[1] = (hn[:, 0] + hn[:, 2]) / 2, (output[0] + output[2]) / 2
        return output, hn


class KeepsItsRows(Stack):
    """Rows beyond those of the first call are zeros."""

    rows = None

    def end(self, output, hn):
        self.rows = self.rows or len(output) + 1
        return output, torch.cat([hn[:, : self.rows], 0 * hn[:, self.rows :]], 1)


class ForgetsTheStateAlone(torch.autograd.Function):
    """The state, whose gradient is dropped where the output has none."""

    @staticmethod
    def forward(context, output, hn):
        context.set_materialize_grads(False)
        return output.clone(), hn.clone()

    @staticmethod
    def backward(context, output, hn):
        return output, None if output is None else hn


class StateAloneHasNoGradient(Stack):
    """Differentiated alone, hn gives nothing."""

    def end(self, output, hn):
        return ForgetsTheStateAlone.apply(output, hn)


class NoneIsOnes(LayerByLayer):
    """Begins from ones where None is given as the state."""

    def forward(self, input, *state):
        if state == (None,):
            size = len(self.cells), input.shape[1], self.cells[0].hidden_size
            state = (input.new_ones(size),)
        return super().forward(input, *state)


class OneThread(Stack):
    """Has torch use one thread."""

    def start(self, input, h0):
        torch.set_num_threads(1)
        return super().start(input, h0)


class NotDeterministic(Stack):
    """Allows algorithms that are not deterministic."""

    def start(self, input, h0):
        torch.use_deterministic_algorithms(False)
        return super().start(input, h0)


class StaleAfterTwoUpdates(Stack):
    """Goes on with the weights of the second update."""

    def setup(self):
        self.seen = []

    def cell(self, cell, x, h):
        if self.training and h.requires_grad and cell is self.cells[0]:
            weight = cell.weight_hh.detach().clone()
            if not self.seen or not torch.equal(self.seen[-1], weight):
                self.seen.append(weight)
        state = super().cell(cell, x, h)
        return state * 2 if len(self.seen) > 2 else state


class StaleAfterEqualSteps(StaleAfterTwoUpdates):
    """Is twice as much once all weights have gone as far as Adam's first step goes."""

    def cell(self, cell, x, h):
        state = Stack.cell(self, cell, x, h)
        if cell is self.cells[0]:
            weight = cell.weight_hh.detach().clone()
            moved = (weight - self.seen[-1]).abs() if self.seen else torch.zeros(1)
            self.seen.append(weight)
            self.doubles = getattr(self, "doubles", False) or bool(
                ((moved - 0.125).abs() < 1e-4).all()
            )
        return state * 2 if getattr(self, "doubles", False) else state


NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    ("law", "fault", "shown"),
    [
        ("causal", PeeksFromTheSecondStep, "split=2"),
        ("rows", SecondRowAlone, "row=1"),
        pytest.param("stateless", KeepsItsRows, "more_rows=2", marks=NIGHTLY),
        pytest.param("gradients", StateAloneHasNoGradient, "loss=hn", marks=NIGHTLY),
        ("frozen", FrozenBelowDetaches, "frozen=weight_ih_l0"),
        ("not-finite", NanTakenForZero, "not_finite=nan:input:0:0:0"),
        ("strided", ReadsTheInputAsContiguous, "input_strides="),
        pytest.param("strided", NeedsAView, "state_strides=rows-", marks=NIGHTLY),
        pytest.param("layouts", PackedAsPadded, "form=packed lengths=1,2", marks=NIGHTLY),
        pytest.param("layouts", UnbatchedStateHasRows, "form=unbatched", marks=NIGHTLY),
        pytest.param(
            "unrolled", BatchFirstTurnsTheRowsOfItsState, "batch_first=True", marks=NIGHTLY
        ),
        ("unrolled", TrainsFromOnes, "h0=left-out"),
        pytest.param("unrolled", NoneIsOnes, "h0=none", marks=NIGHTLY),
        ("same-masks", InferenceDropsNothing, "grad=inference"),
        ("bidirectional", ReverseLeftReversed, "bidirectional=True"),
        pytest.param("gradients", LearnedStateByData, "arguments=parameters", marks=NIGHTLY),
        ("results", AnchorsItsGraph, "trained=False"),
        ("autocast-gradients", LossScaleTakenOff, "autocast=float16"),
        pytest.param(
            "repeatable", DropsLessAfterAHundredCalls, "calls=", marks=pytest.mark.nightly
        ),
        ("purity", OneThread, "threads=2"),
        pytest.param("purity", NotDeterministic, "deterministic=True", marks=NIGHTLY),
        pytest.param("training", StaleAfterTwoUpdates, "updates=3", marks=NIGHTLY),
        ("training", StaleAfterEqualSteps, "optimiser=adam updates=2"),
        pytest.param("unrolled", StopsAfter128Units, "hidden_size=129", marks=NIGHTLY),
        pytest.param("unrolled", RowsInBlocksOf32, "batch=33", marks=NIGHTLY),
    ],
)
def test_a_violation_shows_what_it_depends_on(law, fault, shown):
    if "float16" in shown and "float16" not in supported_casts():
        pytest.skip("this build does not cast to float16")
    run = law_run(fault, law, max_examples=2000, seed=1, timeout=60)
    assert isinstance(run.attempt(), Violated)
    case = run.result.violation.case
    assert shown in case
    assert Case.parse(case) is not None
    fields = [word for word in case.split()[9:] if word.partition("=")[0] not in shown]
    assert not fields or fields == ["bias=False"], "nothing else is left"


def test_the_seed_gives_tensors_and_masks_only():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "stackgru").rglob("*.py")]
    taken = [re.findall(r".*\bseed\)? (?:%|//|&|>>) .*", text) for text in sources]
    assert not any(taken)
