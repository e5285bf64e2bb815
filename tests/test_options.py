"""The table of options: what a value may be, and what is passed on as KEY=VALUE."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from stackgru.options import OPTIONS, Options, UsageError, as_pairs, read_fields, read_pairs

EVERY = Options(
    kind="cell",
    laws=("rows", "eq*"),
    skip=("life",),
    max_examples=3,
    seed=0,
    profile="ci",
    dtypes=("float64", "float16"),
    device="meta",
    strict=True,
    timeout=2.5,
    seconds=60.0,
    memory=0.5,
    shrink=False,
    shrink_seconds=0.0,
    report="some=where, else",
    known=(("rows", "a reason: 'with' \"signs\""), ("chunks", "ä")),
    known_strict=True,
    arguments=("hidden_size", "input_size"),
    state="tuple",
    returns="state, output",
    time_axis=True,
    batch_first=True,
    activation_error=3e-7,
    flush_to_zero=True,
    constants=(("mode", "a,b=c"), ("sizes", [1, {"x": None}])),
)


def test_every_field_has_a_row():
    assert {option.field for option in OPTIONS} == {
        *(field.name for field in fields(Options)),
        *("target", "json"),
    }


def test_what_is_passed_on_is_what_was_set():
    assert all(getattr(EVERY, name) != getattr(Options, name) for name in vars(EVERY))
    assert Options(**read_pairs(as_pairs(EVERY), "--stackgru")) == EVERY
    assert as_pairs(Options()) == []


def test_fields_win_over_options_and_none_sets_nothing():
    found = read_fields({"seed": 5, "kind": None, "strict": False}, Options(seed=3, timeout=1.0))
    assert found == {"seed": 5, "timeout": 1.0, "strict": False}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"laws": "rows, chunks"}, ("rows", "chunks")),
        ({"laws": ["rows", "chunks"]}, ("rows", "chunks")),
        ({"arguments": "input_size,hidden_size"}, ("input_size", "hidden_size")),
        ({"report": Path("a") / "b"}, "a/b"),
        ({"known": Path("known.txt")}, "known.txt"),
        ({"known": {"rows": "why"}}, (("rows", "why"),)),
        ({"known": [("rows", "why")]}, (("rows", "why"),)),
        ({"timeout": 3}, 3.0),
        ({"strict": "yes"}, True),
    ],
)
def test_values_are_read_once(fields, expected):
    assert list(read_fields(fields).values()) == [expected]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_exampels": 3}, "there is no option 'max_exampels'; did you mean 'max_examples'?"),
        ({"json": "file"}, "there is no option 'json'."),
        ({"kind": "cells"}, "kind must be one of 'cell', 'sequence', got 'cells'; did you mean"),
        ({"profile": "slow"}, "profile must be one of 'quick', 'default', 'thorough', 'ci', got"),
        ({"dtypes": ["float8"]}, "dtypes must be one of 'float64', 'float32', 'bfloat16'"),
        ({"max_examples": 0}, "max_examples must be at least 1, got 0."),
        ({"max_examples": 2.5}, "max_examples must be a whole number, got 2.5."),
        ({"seed": -1}, "seed must be at least 0, got -1."),
        ({"timeout": "soon"}, "timeout must be a number, got 'soon'."),
        ({"timeout": float("nan")}, "timeout must be at least 0, got nan."),
        ({"strict": "perhaps"}, "strict must be true or false, got 'perhaps'."),
        ({"laws": 5}, "laws must be names, got 5."),
        ({"known": "{not json"}, "known must be a file, or laws with a reason each, got '{not"),
    ],
)
def test_a_wrong_value_is_one_sentence(fields, said):
    with pytest.raises(UsageError) as raised:
        read_fields(fields)
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith((".", "?"))
