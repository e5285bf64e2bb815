"""Arithmetic in which subnormal numbers are zero stays within the bound that says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stackgru
from stackgru.engine.run import LawRun
from stackgru.harness.activations import activations_of
from stackgru.laws.registry import all_laws
from stackgru.options import FULL_PRECISION, Options
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from tests.nightly.helpers import SETTINGS
from tests.subjects.right.variants import Stack

LAWS = ("equation", "one-step", "magnitudes", "unrolled", "default-state", "not-finite", "rows")

if not torch.set_flush_denormal(False):
    pytest.skip("this processor cannot flush", allow_module_level=True)


class Flushes(Stack):
    """The processor takes subnormal numbers for zero, and gives zero for them."""

    def forward(self, input, h0=None):
        torch.set_flush_denormal(True)
        try:
            return super().forward(input, h0)
        finally:
            torch.set_flush_denormal(False)


class TakesAMillionfold(Flushes):
    """What is a million times the smallest normal number is zero for it as well."""

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        least = 1e6 * torch.finfo(output.dtype).tiny
        return torch.where(output.abs() < least, 0, output), torch.where(hn.abs() < least, 0, hn)


def result_of(law, factory, examples, *, flushes):
    target = load(Convention(factory, flush_to_zero=flushes))
    options = Options(max_examples=examples, seed=1, dtypes=FULL_PRECISION, shrink=False)
    run = LawRun(target, all_laws()[law], options)
    run.attempt()
    return run.result


@pytest.mark.parametrize(
    "examples",
    [40, pytest.param(SETTINGS.right_examples // len(LAWS), marks=pytest.mark.nightly)],
    ids=["", "many"],
)
@pytest.mark.parametrize(
    "law", [pytest.param(law, marks=[pytest.mark.nightly] * (law == "unrolled")) for law in LAWS]
)
def test_what_flushes_is_right_if_it_is_said(law, examples, record_property):
    result = result_of(law, Flushes, examples, flushes=True)
    record_property("ratio", result.ratio)
    assert result.status == "holds"


@pytest.mark.usefixtures("no_symptoms")
def test_it_is_violated_if_it_is_not_said():
    assert result_of("unrolled", Flushes, 300, flushes=False).status == "violated"


@pytest.mark.nightly
@pytest.mark.usefixtures("no_symptoms")
def test_more_than_that_is_violated():
    assert result_of("unrolled", TakesAMillionfold, 300, flushes=True).status == "violated"


def test_it_is_measured():
    assert activations_of(load(Flushes)).flushes
    assert not activations_of(load(stackgru.StackingGRUCell)).flushes


def test_the_command_line_says_it():
    assert Convention(nn.GRU, flush_to_zero=True).cli_options == ("--flush-to-zero",)
    report = stackgru.check(Flushes, laws=["one-step"], flush_to_zero=True, max_examples=5, seed=1)
    assert report.results[0].status == "holds"
    assert "taken for zero" in report.limits["subnormal numbers"]
