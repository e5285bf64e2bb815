"""Laws of gradients: what a violation shows, and when they do not apply."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import load
from tests.helpers import DROPS, EVAL, caught_but_not, check_law
from tests.subjects.broken.calls import FreezesItself
from tests.subjects.broken.functions import Backward
from tests.subjects.broken.rates import KeptValuesAreNotScaled
from tests.subjects.right.variants import Stack


class FirstDerivativesOnly(Stack):
    """No gradient has a graph."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        for leaf in (x, h, *cell.parameters()):
            if leaf.requires_grad:
                leaf.register_hook(torch.Tensor.detach)
        return state


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    ("gradients", FreezesItself, Case(), r"changes requires_grad of"),
    (
        "second-derivatives",
        FirstDerivativesOnly,
        EVAL,
        # Before torch 2.0 such a hook leaves some of them, which are wrong.
        r"^second derivative of .*: got " + ("0.0, " if hasattr(torch, "func") else ""),
    ),
    ("second-derivatives", KeptValuesAreNotScaled, DROPS, r"^second derivative of "),
    ("forward-mode", KeptValuesAreNotScaled, DROPS, r"^forward-mode derivative of output: got "),
)


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
        check_law("forward-mode", Stack, EVAL)


class Recomputed(Stack):
    """Each step is computed again for the backward pass, by a function without forward mode."""

    def cell(self, cell, x, h):
        return checkpoint(self.step, cell, x, h, use_reentrant=True)

    def step(self, cell, x, h):
        return cell(x, h)


class RecomputedWithoutForwardMode(Recomputed):
    """As above; what is recomputed has none of its own either."""

    def cell(self, cell, x, h):
        return checkpoint(self.step, cell, x, h, use_reentrant=False)

    def step(self, cell, x, h):
        return Backward.apply(cell(x, h), 1)


@pytest.mark.skipif(not hasattr(torch, "func"), reason="this build has no forward mode")
def test_torchs_own_recomputation_has_no_forward_mode():
    with pytest.raises(NotApplicable, match=r"^torch.utils.checkpoint has no forward-mode deriv"):
        check_law("forward-mode", Recomputed, EVAL)


@pytest.mark.skipif(not hasattr(torch, "func"), reason="this build has no forward mode")
def test_a_function_that_is_recomputed_is_the_targets_own():
    with pytest.raises(Violated, match=r"^the target raised .*(setup_context|jvp)"):
        check_law("forward-mode", RecomputedWithoutForwardMode, EVAL)
