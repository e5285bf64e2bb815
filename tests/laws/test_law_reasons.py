"""Why a law does not apply, and the laws of transforms, each on one fixed case."""

from __future__ import annotations

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.harness import reference
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.transforms import assert_possible
from stackgru.laws.registry import all_laws
from stackgru.outcomes import NotApplicable, Violation
from stackgru.targets.target import load
from tests.laws.test_law_branches import DROPS, EVAL, check
from tests.subjects.broken.calls import HoldsItsWeights
from tests.subjects.broken.draws import MasksByRand
from tests.subjects.broken.refusals import CutsTheInput
from tests.subjects.right.variants import Stack

SINGLE = Case(2, 3, dtype="float32")


class NoAutocast(Stack):
    """It says that it cannot be run under autocast."""

    def start(self, input, h0):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not in bfloat16")
        return super().start(input, h0)


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
    check(law, Stack, case)


def test_what_is_refused_under_autocast_is_a_violation_with_strict_only():
    message = r"^under autocast the target raised RuntimeError: not in bfloat16$"
    with pytest.raises(NotApplicable, match=message):
        check("autocast", NoAutocast, SINGLE)
    with pytest.raises(Violation, match=message):
        check("autocast", NoAutocast, SINGLE, strict=True)


def test_a_parameter_that_nothing_uses_is_no_violation():
    class Spare(Stack):
        """It has one parameter more than it needs."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.spare = torch.nn.Parameter(torch.ones(2))

    check("checkpoint", Spare, DROPS)


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
    monkeypatch.setattr(reference, "arrange", lambda draws, shape, order: None)
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
    monkeypatch.delattr(torch, "func", raising=False)
    with pytest.raises(NotApplicable, match=reason):
        all_laws()[law].check(pair)


def test_a_build_where_nn_gru_has_no_forward_mode_is_no_violation(monkeypatch):
    def jvp(*arguments):
        raise RuntimeError("no rule")

    monkeypatch.setattr(pytest.importorskip("torch.func"), "jvp", jvp)
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
