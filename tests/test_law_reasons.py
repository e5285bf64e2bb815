"""Why a law does not apply, and the laws of layouts and transforms, each on one fixed case."""

from __future__ import annotations

import pytest
import torch

from stackgru.cases import Case
from stackgru.evidence import NotApplicable, Violation
from stackgru.laws import all_laws, comparing
from stackgru.laws.transforming import assert_possible
from stackgru.pairs import Pair
from stackgru.targets import load
from tests.broken.calls import HoldsItsWeights
from tests.broken.draws import MasksByRand
from tests.broken.layouts import (
    PackedOutputForgetsItsOrder,
    PackedOutputIsPadded,
    UnbatchedStateHasRows,
)
from tests.broken.refusals import CutsTheInput
from tests.broken.strictly import PackedIsRefused
from tests.layouts import Whole
from tests.sequences import LayerByLayer
from tests.test_law_branches import DROPS, EVAL, check
from tests.variants import Stack

ROWS = Case(2, 3, 2, 3, 3)
SINGLE = Case(2, 3, dtype="float32")


class NoAutocast(Stack):
    """It says that it cannot be run under autocast."""

    def start(self, input, h0):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not in bfloat16")
        return super().start(input, h0)


class NoBatchFirst(Whole):
    """Batch first it raises."""

    def batched(self, input, h0):
        if self.batch_first:
            raise ValueError("not batch first")
        return super().batched(input, h0)


class NotBothWays(Whole):
    """It takes the option bidirectional, and cannot be called with it."""

    def layers(self, steps, h0):
        if len(self.directions) > 1:
            raise ValueError("not both ways")
        return super().layers(steps, h0)


class NotBuiltBothWays(Whole):
    """It names the option bidirectional, and refuses it."""

    def __init__(self, *args, bidirectional=False, **kwargs):
        if bidirectional:
            raise ValueError("one way only")
        super().__init__(*args, **kwargs)


class UnbatchedStateIsAList(Whole):
    """Unbatched, hn is a list."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output, list(hn)


class Flattens(LayerByLayer):
    """Two dimensions are taken for a batch of numbers, and there is one way only."""

    def forward(self, input, h0=None):
        if input.dim() == 2:
            return input.flatten(), h0
        return super().forward(input, h0)


class NoPlainWeightsInOneLayer(Stack):
    """With one layer, weights that are no parameters are refused."""

    def cell(self, cell, x, h):
        if self.num_layers == 1 and not isinstance(cell.weight_ih, torch.nn.Parameter):
            raise TypeError("a parameter is wanted")
        return super().cell(cell, x, h)


class LooksAtOneLayersInput(Stack):
    """With one layer it looks at its input's numbers, which vmap does not allow."""

    def start(self, input, h0):
        if self.num_layers == 1 and float(input.sum()) == 0:
            input = input + 0
        return super().start(input, h0)


class TwoLayersAtMost(HoldsItsWeights):
    """Three layers are refused, and the parameters are kept past torch.func's reach."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        if num_layers > 2:
            raise ValueError("two layers at most")
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)


class DetachesItsState(Stack):
    """From the second call on, h0 is cut off."""

    is_called = False

    def start(self, input, h0):
        h0 = super().start(input, h0)
        self.is_called, before = True, self.is_called
        return h0.detach() if before else h0


VIOLATIONS = [
    (
        "layouts",
        NoBatchFirst,
        ROWS,
        r"^batch first the target raised ValueError: not batch fir",
    ),
    ("layouts", PackedOutputIsPadded, ROWS, r"output is Tensor, where nn.GRU's is packed$"),
    (
        "layouts",
        PackedOutputForgetsItsOrder,
        Case(2, 3, 2, 3, 3, seed=1),
        r"^packed and not sorted: sorted_indices of the output is not the input's, as nn.GRU's$",
    ),
    ("layouts", UnbatchedStateIsAList, ROWS, r"^unbatched: hn is list, where nn.GRU's is a tensor"),
    (
        "layouts",
        UnbatchedStateHasRows,
        ROWS,
        r"^unbatched: hn has shape \(2, 1, 3\), where nn.GRU's is \(2, 3\)$",
    ),
    ("bidirectional", NotBothWays, ROWS, r"^bidirectional the target raised ValueError: not both "),
    (
        "functional-call",
        NoPlainWeightsInOneLayer,
        SINGLE,
        r"^called with other weights: the target raised TypeError: a parameter is wanted",
    ),
    ("functional-call", TwoLayersAtMost, Case(2, 3, 2), r"output is .* and should be "),
    (
        "checkpoint",
        DetachesItsState,
        SINGLE,
        r"^under torch.utils.checkpoint h0 has another gradient$",
    ),
    ("vmap", LooksAtOneLayersInput, SINGLE, r"^under vmap the target raised RuntimeError: "),
]


@pytest.mark.parametrize(
    ("law", "fault", "case", "message"),
    VIOLATIONS,
    ids=[f"{law}-{fault.__name__}" for law, fault, *_ in VIOLATIONS],
)
def test_a_violation_says_what_was_seen(law, fault, case, message):
    with pytest.raises(Violation, match=message):
        check(law, fault, case)
    check(law, Whole if issubclass(fault, Whole) else Stack, case)


@pytest.mark.parametrize(
    ("law", "fault", "case", "reason", "violation"),
    [
        (
            "autocast",
            NoAutocast,
            SINGLE,
            r"^under autocast the target raised RuntimeError: not in bfloat16$",
            r"^under autocast the target raised RuntimeError: not in bfloat16$",
        ),
        (
            "bidirectional",
            NotBuiltBothWays,
            ROWS,
            r"^the target's constructor takes no bidirectional$",
            r"NotBuiltBothWays\(.*bidirectional=True\) raised ValueError: one way only",
        ),
        (
            "layouts",
            Flattens,
            ROWS,
            r"^the target takes neither batch first, unbatched nor packed input$",
            r"^packed.* the target raised AttributeError: .*; nn.GRU gives a result$",
        ),
    ],
)
def test_what_the_target_does_not_take_is_a_violation_with_strict_only(
    law, fault, case, reason, violation
):
    with pytest.raises(NotApplicable, match=reason):
        check(law, fault, case)
    with pytest.raises(Violation, match=violation):
        check(law, fault, case, strict=True)


def test_a_parameter_that_nothing_uses_is_no_violation():
    class Spare(Stack):
        """It has one parameter more than it needs."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.spare = torch.nn.Parameter(torch.ones(2))

    check("checkpoint", Spare, DROPS)


def test_packed_rows_are_not_asked_of_a_target_that_refuses_them():
    check("layouts", PackedIsRefused, ROWS)
    with pytest.raises(Violation, match=r"^packed.*the target raised TypeError: a packed sequence"):
        check("layouts", PackedIsRefused, ROWS, strict=True)


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        (
            "same-masks",
            r"draws random numbers by aten.rand_like.*, not as masks, so nn.GRU",
        ),
        ("order-matters", r"^the target's masks cannot be seen: it draws none by bernoulli$"),
    ],
)
def test_masks_that_cannot_be_seen_are_no_violation(law, reason):
    with pytest.raises(NotApplicable, match=reason):
        check(law, MasksByRand, DROPS)


def test_what_nn_gru_draws_unseen_is_no_violation(monkeypatch):
    monkeypatch.setattr(comparing, "arrange", lambda draws, shape, order: None)
    with pytest.raises(NotApplicable, match=r"^the masks that nn.GRU draws cannot be seen .* 2 "):
        check("same-masks", Stack, DROPS)


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        ("forward-mode", r"^this build of torch has no torch.func.jvp$"),
        ("functional-call", r"^this build of torch has no torch.func$"),
    ],
)
def test_a_build_without_torch_func_is_no_violation(monkeypatch, law, reason):
    pair = Pair(load(Stack), EVAL)
    monkeypatch.delattr(torch, "func")
    with pytest.raises(NotApplicable, match=reason):
        all_laws()[law].check(pair)


def test_a_build_where_nn_gru_has_no_forward_mode_is_no_violation(monkeypatch):
    def jvp(*arguments):
        raise RuntimeError("no rule")

    monkeypatch.setattr(torch.func, "jvp", jvp)
    with pytest.raises(NotApplicable, match=r"^nn.GRU itself raised RuntimeError: no rule$"):
        check("forward-mode", Stack, EVAL)


def test_a_build_where_nn_gru_does_not_run_on_meta_is_no_violation(monkeypatch):
    def forward(*arguments):
        raise NotImplementedError("no kernel")

    pair = Pair(load(Stack), EVAL)
    pair.reference.forward = forward
    with pytest.raises(NotApplicable, match=r"does not run on the meta device: NotImpl.*kernel"):
        all_laws()["meta"].check(pair)


def test_what_nn_gru_itself_takes_need_not_be_refused():
    pair = Pair(load(CutsTheInput), EVAL)
    with pytest.raises(Violation, match=r"^the target takes an input that is too wide, which nn.G"):
        all_laws()["refusals"].check(pair)
    pair.reference = lambda input, h0: (input, h0)
    all_laws()["refusals"].check(pair)


def _failing(module, arguments):
    raise NotImplementedError("not on this build")


def _doubled(module, arguments):
    return lambda *given: [2 * result for result in module(*given)]


@pytest.mark.parametrize(
    ("transform", "reason"),
    [(_failing, "NotImplementedError: not on this build"), (_doubled, "it gives other values")],
)
def test_a_transform_that_nn_gru_does_not_survive_is_not_asked_of_a_target(transform, reason):
    with pytest.raises(NotApplicable, match=f"nn.GRU itself cannot be turned .* build: {reason}$"):
        assert_possible(Pair(load(Stack), EVAL), "turned", transform)
