"""Cases: the text form and back, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given

from stackgru.cases.case import Case
from stackgru.cases.strategies import cases

SEED_EXAMPLE = (
    "input_size=5 hidden_size=10 num_layers=3 batch=7 seq_len=1 dropout=0.1 dtype=float32 "
    "mode=train seed=1215"
)


@given(cases())
def test_text_and_back(case):
    assert Case.parse(str(case)) == case


def test_text_of_the_seeds_example():
    assert str(Case.parse(SEED_EXAMPLE)) == SEED_EXAMPLE
    shown = str(Case(bias=False, state="large"))
    assert shown.endswith("seed=0 bias=False state=large")


def test_what_is_left_out_of_a_text_is_plain():
    """One of everything, no dropout, seed 0; fields after the seed are shown only if changed."""
    plain = "input_size=1 hidden_size=1 num_layers=1 batch=1 seq_len=1 dropout=0.0 dtype=float64"
    assert str(Case()) == f"{plain} mode=eval seed=0"
    assert Case.parse("") == Case() == Case(bias=True, weights="usual", input="usual")
    assert Case.parse("bias=True dropout=1") == Case(dropout=1.0)
    assert Case.parse("bias=False") == Case(bias=False)
    assert str(Case(actions="step,to")) == f"{plain} mode=eval seed=0 actions=step,to"


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers", "seq_len", "batch"])
def test_the_smallest_sizes(name):
    smallest = 0 if name == "batch" else 1
    assert getattr(Case(**{name: smallest}), name) == smallest
    with pytest.raises(ValueError, match=f"{name} must be at least {smallest}, got {smallest - 1}"):
        Case(**{name: smallest - 1})


def test_the_largest_seed_is_of_64_bits():
    assert Case(seed=2**64 - 1).seed == 18446744073709551615
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed must be in 0 to"):
            Case(seed=seed)


def test_a_name_like_no_other_has_no_hint():
    with pytest.raises(ValueError, match=r"^unknown case field 'zzz'$"):
        Case.parse("zzz=1")


def test_numbers_are_not_part_of_the_text():
    assert str(Case(numbers=(("input", (1.0,)),))) == str(Case())
    assert "numbers" not in repr(Case())
    with pytest.raises(ValueError, match="unknown case field 'numbers'"):
        Case.parse("numbers=1")


def test_a_case_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Case().batch = 2
    assert not hasattr(Case(), "__dict__"), "a search keeps thousands of cases"


@pytest.mark.parametrize(
    ("text", "drops", "scale"),
    [
        ("mode=train num_layers=2 dropout=0.75", True, 4.0),
        ("mode=train num_layers=2 dropout=0.75 batch=0", False, 4.0),
        ("mode=train num_layers=1 dropout=0.75", False, 4.0),
        ("mode=train num_layers=2 dropout=0", False, 1.0),
        ("mode=train num_layers=2 dropout=1", False, 0.0),
        ("mode=eval num_layers=2 dropout=0.75", False, 1.0),
        ("mode=eval num_layers=2 dropout=1", False, 1.0),
    ],
)
def test_when_masks_are_drawn_and_what_they_scale(text, drops, scale):
    case = Case.parse(text)
    assert case.drops == drops
    assert case.dropout_scale == scale


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hidden_sizes=3", "did you mean 'hidden_size'"),
        ("batch", "expected name=value"),
        ("batch=1 batch=2", "given twice"),
        ("batch=two", "batch must be a whole number, got 'two'"),
        ("dropout=half", "dropout must be a number"),
        ("dropout=nan", r"dropout must be in \[0, 1\]"),
        ("dropout=1.5", r"dropout must be in \[0, 1\]"),
        ("dropout=-0.1", r"dropout must be in \[0, 1\]"),
        ("bias=0", "bias must be True or False"),
        ("dtype=float8", "dtype must be one of float64"),
        ("num_layers=0", "num_layers must be at least 1, got 0"),
        ("seed=18446744073709551616", "seed must be in 0"),
        ("actions=step,jump", "actions must be among step, train, .*, got 'jump'"),
        ("seed=__import__('os').getpid()", "seed must be a whole number"),
    ],
)
def test_a_text_that_is_no_case_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Case.parse(text)
