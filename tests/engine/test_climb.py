"""The search climbs: a fault just above rounding is found with fewer examples than without."""

from __future__ import annotations

import contextlib
import os

import hypothesis
import pytest
from hypothesis import settings

from stackgru.outcomes import Violated
from tests.helpers import law_run
from tests.subjects.right.variants import Stack

SEEDS = range(12)
EXAMPLES = 100


class LosesDigitsInLargeBatches(Stack):
    """The new state is off by a few roundings more for every value that is computed with it."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 0.029 * 2.0**-52 * h.numel())


@pytest.fixture(autouse=True)
def _without_a_database():
    """Forget what earlier runs found: it would be tried first."""
    name = "ci" if os.environ.get("CI") else "dev"
    settings.register_profile("forgetful", settings.get_profile(name), database=None)
    settings.load_profile("forgetful")
    yield
    settings.load_profile(name)


def examples_needed(seed):
    """Return how many examples the law tried up to the violation; all if it found none."""
    run = law_run(
        LosesDigitsInLargeBatches,
        "equation",
        seed=seed,
        max_examples=EXAMPLES,
        dtypes=("float64",),
        shrink=False,
    )
    try:
        run.run()
    except Violated:
        return run.result.examples
    return EXAMPLES


def test_climbing_finds_a_fault_just_above_rounding_sooner(monkeypatch):
    """Only batches and widths near the largest show it, and the ratio says where they are."""
    climbing = [examples_needed(seed) for seed in SEEDS]
    monkeypatch.setattr(hypothesis, "target", lambda observation: None)
    plain = [examples_needed(seed) for seed in SEEDS]
    assert sum(climbing) < sum(plain)
    assert sum(n < EXAMPLES for n in climbing) > sum(n < EXAMPLES for n in plain)


def test_nothing_is_climbed_while_all_is_well(monkeypatch):
    """All examples of a right target are drawn afresh; none is spent on what leads nowhere."""
    called = []
    monkeypatch.setattr(hypothesis, "target", called.append)
    law_run(Stack, "equation", seed=1, dtypes=("float64", "float32")).run()
    assert called == []


def test_climbing_is_told_ratios_that_are_near(monkeypatch):
    called = []
    monkeypatch.setattr(hypothesis, "target", called.append)
    for seed in SEEDS:
        run = law_run(LosesDigitsInLargeBatches, "equation", seed=seed, dtypes=("float64",))
        with contextlib.suppress(Violated):
            run.run()
    assert called
    assert all(0.5 < ratio <= 2 for ratio in called)
