"""Violations that laws find by ways of their own, each on one fixed case, and what they say.

Beyond the fault that every law has in the catalogue. test_law_sequences.py does the same
for sequence modules, and test_law_reasons.py has the reasons why a law does not apply.
"""

from __future__ import annotations

import random

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violation
from stackgru.targets.target import load
from tests.laws.test_laws import law_run
from tests.subjects.broken.calls import GoesIntoEval
from tests.subjects.broken.derivatives import ChangesWhatIsSaved
from tests.subjects.broken.draws import (
    DrawsForEmptyBatches,
    DrawsOneMore,
    MasksByRand,
    SeedsItself,
    TwiceAsManyRows,
)
from tests.subjects.broken.life import UpperBiasesArePlain
from tests.subjects.broken.rates import KeptValuesAreNotScaled
from tests.subjects.right.variants import Stack

EVAL = Case(2, 3, 3, 2)
TRAIN = Case(2, 3, 3, 2, mode="train")
DROPS = Case(2, 3, 3, 2, 2, dropout=0.5, mode="train")


def check(law, target, case, *, strict=False):
    """Check one law on one case."""
    all_laws()[law].check(Pair(load(target), case, strict=strict))


class OneRowForAll(Stack):
    """All rows are the memory of the first."""

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, hn[:, :1].expand_as(hn)


class AnotherMaskByStrides(Stack):
    """One more mask is drawn where the state is not contiguous."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        if not h0.is_contiguous():
            self.dropout(h0)
        return h0


class CannotLeaveItsDevice(Stack):
    """It refuses the meta device."""

    def to(self, *arguments, **keywords):
        if "meta" in arguments:
            raise NotImplementedError("there is no other device")
        return super().to(*arguments, **keywords)


class StateOnTheCpu(Stack):
    """Wherever the input is, hn is on the CPU."""

    def forward(self, input, h0):  # a state it must have
        return super().forward(input, h0)

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, torch.zeros(hn.shape, dtype=hn.dtype)


class OneCellAbove(Stack):
    """All layers but the first are one cell."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in range(2, self.num_layers):
            self.cells[layer] = self.cells[1]


class DecaysByAHook(Stack):
    """The gradients of a weight have the weight itself added, by a hook."""

    def start(self, input, h0):
        weight = self.cells[0].weight_hh
        if weight.requires_grad and not hasattr(self, "hook"):
            self.hook = weight.register_hook(lambda grad: grad + weight.detach())
        return super().start(input, h0)


class FirstDerivativesOnly(Stack):
    """No gradient has a graph."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        for leaf in (x, h, *cell.parameters()):
            if leaf.requires_grad:
                leaf.register_hook(torch.Tensor.detach)
        return state


class Float64UnderAutocast(Stack):
    """Under autocast hn is float64."""

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, hn.double() if torch.is_autocast_enabled("cpu") else hn


class AsksPython(Stack):
    """A number of Python's is drawn in every call, and thrown away."""

    def start(self, input, h0):
        random.random()
        return super().start(input, h0)


class RateALittleOff(Stack):
    """A rate has 1e-9 added to it."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)
        self.dropout.p += 1e-9 if 0 < dropout < 0.9 else 0


VIOLATIONS = [
    ("purity", GoesIntoEval, TRAIN, r"^a call changes the training flag of dropout$"),
    ("purity", OneRowForAll, EVAL, r"^hn cannot be written to: RuntimeError: .*memory location"),
    ("purity", ChangesWhatIsSaved, TRAIN, r"^a backward pass raised RuntimeError: .*inplace"),
    ("strided", AnotherMaskByStrides, DROPS, r"other masks are asked for than with contiguous"),
    (
        "meta",
        CannotLeaveItsDevice,
        EVAL,
        r"^it cannot be moved to the meta device: NotImpl",
    ),
    ("meta", StateOnTheCpu, EVAL, r"^on the meta device hn is on cpu$"),
    ("everything-matters", UpperBiasesArePlain, EVAL, r"^layer 1 has no bias_hh$"),
    (
        "everything-matters",
        OneCellAbove,
        EVAL,
        r"^weight_ih of layer 1 and weight_ih of layer 2 are one parameter$",
    ),
    (
        "empty-batch",
        DrawsForEmptyBatches,
        Case(2, 3, batch=0, mode="train"),
        r"^for an empty batch torch's generator has moved$",
    ),
    (
        "empty-batch",
        DecaysByAHook,
        Case(2, 3, batch=0),
        r"^the gradient of weight_hh of layer 0 for an empty batch is not zeros$",
    ),
    (
        "second-derivatives",
        FirstDerivativesOnly,
        EVAL,
        r"^the second derivative of .* is 0 ",
    ),
    (
        "second-derivatives",
        KeptValuesAreNotScaled,
        DROPS,
        r"^the second derivative of ",
    ),
    ("forward-mode", KeptValuesAreNotScaled, DROPS, r"^the forward-mode derivative of output is "),
    ("no-draws", AsksPython, EVAL, r"^Python's random generator has moved, where nn.GRU draws "),
    ("mask-count", MasksByRand, DROPS, r"^random numbers are drawn by aten.rand_like"),
    ("mask-count", RateALittleOff, DROPS, r"^values are kept with probability 0.49.*, where 1 - p"),
    (
        "order-matters",
        DrawsOneMore,
        DROPS,
        r"^the masks drawn are not num_layers - 1 a step, in any order known$",
    ),
    (
        "mask-count",
        SeedsItself,
        Case(2, 10, 2, 10, 2, dropout=0.5, mode="train"),
        r"^two masks are alike, of different steps or layers$",
    ),
    (
        "autocast",
        Float64UnderAutocast,
        Case(2, 3, dtype="float32"),
        r"^under autocast hn is torch.float64, where nn.GRU's is torch\.",
    ),
]


@pytest.mark.parametrize(
    ("law", "fault", "case", "message"),
    VIOLATIONS,
    ids=[f"{law}-{fault.__name__}" for law, fault, *_ in VIOLATIONS],
)
def test_a_violation_says_what_was_seen(law, fault, case, message):
    with pytest.raises(Violation, match=message):
        check(law, fault, case)
    check(law, Stack, case)


def test_masks_that_are_not_nn_grus_are_left_to_other_laws_by_strided():
    check("strided", TwiceAsManyRows, DROPS)
    with pytest.raises(Violation, match="the masks drawn have shapes"):
        check("mask-count", TwiceAsManyRows, DROPS)


def test_a_rate_rounded_once_more_is_no_violation():
    class Rounded(Stack):
        """Its rate goes through 1 - p twice."""

        def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
            super().__init__(input_size, hidden_size, num_layers, 1 - (1 - dropout), bias)

    check("mask-count", Rounded, Case(2, 3, 3, 2, 2, dropout=0.1, mode="train"))


class StaysInItsDtype(Stack):
    """Only the first conversion is heeded."""

    converted = False

    def to(self, *arguments, **keywords):
        if self.converted:
            return self
        self.converted = True
        return super().to(*arguments, **keywords)


class CopiesGrow(Stack):
    """A deep copy has one layer more."""

    def __deepcopy__(self, memo):
        return Stack(2, self.hidden_size, self.num_layers + 1)


class NotOfOneUnit(Stack):
    """It cannot be built with one unit."""

    def __init__(self, input_size, hidden_size, *args, **kwargs):
        if hidden_size == 1:
            raise ValueError("one unit is too few")
        super().__init__(input_size, hidden_size, *args, **kwargs)


@pytest.mark.parametrize(
    ("fault", "action", "message"),
    [
        (StaysInItsDtype, "to", r"^weight_ih of layer 0 is torch.float64$"),
        (
            CopiesGrow,
            "deepcopy",
            r"^the weights of tests.*CopiesGrow were not found: looked",
        ),
    ],
)
def test_life_says_what_became_of_the_parameters(fault, action, message):
    with pytest.raises(Violation, match=message):
        check("life", fault, Case(2, 3, 3, 2, actions=action))


class Infers(Stack):
    """Inference mode is turned on for everybody in eval, and gradients are left as they were."""

    modes = ()

    def start(self, input, h0):
        if not self.training and not torch.is_inference_mode_enabled():
            before = torch.is_grad_enabled()
            Infers.modes = (*Infers.modes, torch.inference_mode())
            Infers.modes[-1].__enter__()
            torch.set_grad_enabled(before)
        return super().start(input, h0)


def test_inference_mode_left_on_is_a_violation_and_turned_off_again():
    with pytest.raises(Violation, match=r"^inference mode is on after a call, and was off before"):
        law_run(Infers, "purity", seed=0).run()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_life_that_cannot_begin_is_a_violation():
    with pytest.raises(Violation, match=r"NotOfOneUnit\(.*\) raised ValueError: one unit is too f"):
        law_run(NotOfOneUnit, "life", seed=0).run()
