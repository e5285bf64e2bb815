"""Mended targets: what is right stays right, whatever is put right in it."""

from __future__ import annotations

import pytest
from torch import nn

import stackgru
from stackgru.cases.case import Case
from stackgru.diagnosis.mended import MENDINGS, changed_methods, mended
from stackgru.engine.run import LawRun
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.targets.target import load
from tests.subjects.right.sequences import StepByStep

#: nn.GRU cannot be called through torch.func.functional_call as these want it.
_UNTRIED = {"compile", "export", "trace"}
#: What raises where there is nothing to put right.
_UNNEEDED = ("names", "methods", "tied", "plain", "extra", "lists")
_ALWAYS = ("same-masks", "forward-mode", "parametrised")


@pytest.mark.parametrize("right", [stackgru.StackingGRUCell, StepByStep, nn.GRU])
@pytest.mark.parametrize("mending", [one for one in MENDINGS if one not in _UNNEEDED])
@pytest.mark.parametrize(
    "law",
    [
        pytest.param(law, marks=[pytest.mark.nightly] * (law not in _ALWAYS))
        for law in all_laws()
        if law not in _UNTRIED
    ],
)
def test_what_is_right_stays_right(right, mending, law):
    target = mended(load(right), mending)
    run = LawRun(target, all_laws()[law], Options(max_examples=5, seed=3, shrink=False))
    run.attempt()
    assert run.result.status in ("holds", "not applicable", "refused"), run.result


class WithMethodsOfItsOwn(stackgru.StackingGRUCell):
    """What it overrides does what nn.Module's does."""

    def parameters(self, recurse=True):
        return iter([*super().parameters(recurse)])

    def __setstate__(self, state):
        super().__setstate__(dict(state))


@pytest.mark.parametrize("law", ["nested", "life"])
def test_right_methods_can_be_replaced(law):
    target = mended(load(WithMethodsOfItsOwn), "methods")
    assert changed_methods(load(WithMethodsOfItsOwn), Case()) == ["__setstate__", "parameters"]
    run = LawRun(target, all_laws()[law], Options(max_examples=5, seed=3, shrink=False))
    run.attempt()
    assert run.result.status == "holds", run.result
    assert "without pickle" not in str(run.result.reason)
