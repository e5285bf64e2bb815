"""Strategies: what is drawn, what it shrinks to, and that examples do not copy each other."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import find, given, seed, settings

from stackgru.cases.case import DTYPES, MAGNITUDES, Case
from stackgru.cases.strategies import REAL, cases, rates


@given(cases())
def test_bounds(case):
    usual = {"input_size": 64, "hidden_size": 64, "num_layers": 6, "batch": 16, "seq_len": 12}
    large = [name for name, most in usual.items() if getattr(case, name) > most]
    assert len(large) <= 1
    for name in usual:
        assert (name != "batch") <= getattr(case, name) <= REAL[name]
        assert not large or name in large or getattr(case, name) <= 8
    assert 0 <= case.dropout <= 1
    assert 0 <= case.seed < 2**64


@given(cases(num_layers=2, seq_len=3, dropout=0.5, mode="train", dtypes=("float32",), usual=True))
def test_pins(case):
    assert (case.num_layers, case.seq_len, case.dropout) == (2, 3, 0.5)
    assert (case.mode, case.dtype) == ("train", "float32")
    assert {case.weights, case.input, case.state} == {"usual"}


@given(rates(partial=True))
def test_partial_rates_are_inside(rate):
    assert 0 < rate < 1


def test_shrinks_to_the_plainest_case():
    assert find(cases(), lambda case: True) == Case()


@pytest.mark.parametrize(
    ("condition", "smallest"),
    [
        (lambda case: case.mode == "train", Case(mode="train")),
        (lambda case: case.num_layers > 2, Case(num_layers=3)),
        (lambda case: case.dtype == "float16", Case(dtype="float16")),
        (lambda case: case.batch == 0, Case(batch=0)),
        (lambda case: case.hidden_size > 64, Case(hidden_size=65)),
        (lambda case: case.state == "large", Case(state="large")),
        (lambda case: case.seed > 2**63, Case(seed=2**63 + 1)),
        (lambda case: case.seq_len * case.batch > 50, None),
    ],
)
def test_shrinks_all_else(condition, smallest):
    found = find(cases(), condition, settings=settings(max_examples=5000, database=None))
    assert condition(found)
    if smallest is not None:
        assert found == smallest


def smallest_above_three(name, start):
    """Return the smallest case that Hypothesis finds, whichever size shows it first."""
    seen = []

    @seed(start)
    @settings(max_examples=100, database=None, report_multiple_bugs=False)
    @given(cases())
    def fails(case):
        if getattr(case, name) > 3:
            seen.append(case)
            raise AssertionError

    with pytest.raises(AssertionError):
        fails()
    return seen[-1]


@pytest.mark.parametrize(
    "name",
    [
        "hidden_size",
        "num_layers",
        *(
            pytest.param(one, marks=pytest.mark.nightly)
            for one in ("input_size", "batch", "seq_len")
        ),
    ],
)
def test_a_size_of_a_real_model_shrinks_to_a_usual_one(name):
    assert {smallest_above_three(name, start) for start in range(20)} == {Case(**{name: 4})}


@pytest.mark.parametrize("start", range(5))
def test_hundred_examples_hold_every_choice(start):
    """Else a fault that shows in one dtype or at one magnitude only would often be missed."""
    seen = Counter()

    @seed(start)
    @settings(max_examples=100, database=None)
    @given(cases())
    def collect(case):
        seen.update([case.dtype, case.mode, case.num_layers, case.bias])
        seen.update([("weights", case.weights), ("state", case.state), ("input", case.input)])
        seen.update([("one row", case.batch == 1), ("wide", case.hidden_size > 48)])

    collect()
    assert {*DTYPES, "eval", "train", *range(1, 7), True, False} <= set(seen)
    for field in ("weights", "state", "input"):
        assert {(field, magnitude) for magnitude in MAGNITUDES} <= set(seen)
    assert seen["one row", True] >= 10
    assert seen["wide", True] >= 3
