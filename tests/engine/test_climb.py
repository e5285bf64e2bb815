"""The search climbs: a fault just above rounding is found with fewer examples than without."""

from __future__ import annotations

import os

import hypothesis
import pytest
from hypothesis import settings

from stackgru.outcomes import Violated
from tests.helpers import law_run
from tests.subjects.right.variants import Stack

EXAMPLES = 200


class LosesDigitsInLargeBatches(Stack):
    """The new state is off by a few roundings more for every value that is computed with it."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * (1 + 0.027 * 2.0**-52 * h.numel())


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


@pytest.mark.nightly
def test_climbing_finds_a_fault_just_above_rounding_sooner(monkeypatch):
    """Only batches and widths near the largest show it, and the ratio leads there."""
    ratios, climb = [], hypothesis.target
    monkeypatch.setattr(hypothesis, "target", lambda ratio: ratios.append(ratio) or climb(ratio))
    climbing = [examples_needed(seed) for seed in range(12)]
    assert ratios
    assert all(0.5 < ratio <= 2 for ratio in ratios), "only what is near the bound is climbed"
    monkeypatch.setattr(hypothesis, "target", lambda ratio: None)
    plain = [examples_needed(seed) for seed in range(12)]
    assert sum(climbing) < sum(plain), (climbing, plain)
    assert sum(n < EXAMPLES for n in climbing) > sum(n < EXAMPLES for n in plain)


def test_nothing_is_climbed_while_all_is_well(monkeypatch):
    """All examples of a right target are drawn afresh; none is spent on what leads nowhere."""
    called = []
    monkeypatch.setattr(hypothesis, "target", called.append)
    options = {"max_examples": 50, "dtypes": ("float64", "float32")}
    law_run(Stack, "equation", seed=1, **options).run()
    assert called == []
