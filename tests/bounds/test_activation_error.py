"""Activations that are off by a stated error stay within the bound; those further off do not."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import stackgru
from stackgru.engine.run import LawRun
from stackgru.harness.activations import Activations, activations_of
from stackgru.laws.registry import all_laws
from stackgru.options import (
    ARGUMENTS,
    FULL_PRECISION,
    MOST_ACTIVATION_ERROR,
    Options,
    UsageError,
)
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from tests.nightly.helpers import SETTINGS
from tests.subjects.broken.equations import HardGates
from tests.subjects.right.variants import Written

STATED = 3e-7
_UNIT = torch.finfo(torch.float32).eps / 2
LAWS = ("equation", "one-step", "magnitudes", "chunks", "rows", "default-state", "unrolled")


def off(values, units):
    """Return values that are off by so many u, up or down, as bits of theirs have it."""
    unit = torch.finfo(values.dtype).eps / 2
    signs = torch.where((values.detach() * 1e3).floor() % 2 == 0, 1.0, -1.0)
    return values + (units * unit * signs).to(values.dtype)


class Approximated(Written):
    """Its sigmoid and tanh are off by STATED in float32, and by as many u in other dtypes."""

    units = STATED / _UNIT

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        r, z = off(r, self.units), off(z, self.units)
        n = torch.tanh(x_products.chunk(3, -1)[2] + r * h_products.chunk(3, -1)[2])
        return r, z, off(n, self.units)


class FurtherOff(Approximated):
    """Its activations are off by half as much again."""

    units = 1.5 * Approximated.units


def run_of(law, factory, examples, **options):
    target = load(Convention(factory, activation_error=STATED))
    chosen = Options(max_examples=examples, seed=1, dtypes=FULL_PRECISION, **options)
    run = LawRun(target, all_laws()[law], chosen)
    run.attempt()
    return run.result


@pytest.mark.parametrize(
    "examples",
    [20, pytest.param(SETTINGS.right_examples // len(LAWS), marks=pytest.mark.nightly)],
    ids=["", "many"],
)
@pytest.mark.parametrize("law", [*LAWS[:-1], pytest.param(LAWS[-1], marks=pytest.mark.nightly)])
def test_what_is_off_as_stated_is_right(law, examples, record_property):
    result = run_of(law, Approximated, examples)
    record_property("ratio", result.ratio)
    assert result.status == "holds", result
    assert result.ratio <= 1


@pytest.mark.parametrize("law", ["magnitudes", "one-step"])
def test_what_is_off_by_half_as_much_again_is_not(law):
    assert run_of(law, FurtherOff, 200, shrink=False).status == "violated"


def test_without_a_statement_it_is_violated():
    run = LawRun(load(Approximated), all_laws()["magnitudes"], Options(max_examples=50, seed=1))
    run.attempt()
    assert run.result.status == "violated"


def test_errors_of_activations_are_measured():
    found = activations_of(load(Approximated))
    assert found.sigmoid == pytest.approx(STATED, rel=0.5)
    assert found.tanh == pytest.approx(STATED, rel=0.5)
    assert found.error >= max(found.sigmoid, found.tanh)
    assert "sigmoid is off by" in str(found)
    right = activations_of(load(stackgru.StackingGRUCell))
    assert (right.sigmoid, right.tanh, right.error, right.flushes) == (0, 0, 0, False)
    assert activations_of(load(HardGates)).error > MOST_ACTIVATION_ERROR


def test_a_sigmoid_that_is_not_finite_is_said():
    found = Activations(math.inf, 0.0, flushes=False, dtype="float32")
    assert found.error == math.inf
    assert str(found) == "sigmoid is not finite for some numbers"


@pytest.mark.parametrize("error", [-1e-9, 1.1e-6, 0.05])
def test_no_more_is_allowed_than_rounding(error):
    with pytest.raises(UsageError, match="what is further off is no rounding, but another GRU"):
        Convention(stackgru.StackingGRUCell, activation_error=error)


def test_the_command_line_states_it():
    convention = Convention(stackgru.StackingGRUCell, activation_error=STATED)
    assert convention.cli_options == ("--activation-error", "3e-07")
    report = stackgru.check(Approximated, laws=["one-step"], activation_error=STATED, seed=1)
    assert report.results[0].status == "holds"
    assert "off by up to 3e-07" in report.limits["exact activations"]


@pytest.mark.parametrize("hidden_size", [1, 3])
def test_errors_are_measured_whatever_the_sizes_are(hidden_size):
    sizes = {"input_size": 4, "hidden_size": hidden_size}
    found = activations_of(load(Convention(Approximated, sizes=sizes)))
    assert found.sigmoid == pytest.approx(STATED, rel=0.5)
    assert found.tanh == pytest.approx(STATED, rel=0.5)


def test_errors_are_measured_of_the_first_layer():
    convention = Convention(partial(Approximated, num_layers=2), arguments=ARGUMENTS[:2])
    found = activations_of(load(convention))
    assert found.sigmoid == pytest.approx(STATED, rel=0.5)
    assert found.tanh == pytest.approx(STATED, rel=0.5)
