"""State dicts converted: every form of names, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stackgru import ConversionError, StackingGRUCell, convert_state_dict
from tests.subjects.checkpoints import HALF, MIXED, TWO, Model, cells

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))


@given(sizes, st.booleans())
def test_there_and_back_nothing_has_changed(size, bias):
    cells = Model(lambda *args: StackingGRUCell(*args, bias=bias), size).state_dict()
    gru = convert_state_dict(cells, "gru")
    right = Model(lambda *args: nn.GRU(*args, bias=bias), size)
    assert list(gru) == list(right.state_dict())
    right.load_state_dict(gru)
    for layer in range(size[2]):
        own = getattr(right.decoder["rnn"], f"weight_hh_l{layer}")
        assert torch.equal(own, cells[f"decoder.rnn.grus.{layer}.weight_hh"])
    back = convert_state_dict(gru, "cell")
    assert list(back) == list(cells)
    assert all(back[key] is cells[key] for key in cells)
    assert back._metadata == cells._metadata


@pytest.mark.parametrize(
    ("prefix", "first", "owner"),
    [
        ("decoder.rnn.layers.", 0, "decoder.rnn."),  # OpenNMT's
        ("module.decoder.rnn.anything.", 0, "module.decoder.rnn."),
        ("grus.", 0, ""),
        ("", 0, ""),
        ("decoder.gru_", 1, "decoder."),
        ("decoder.cell", 0, "decoder."),
        ("blocks.2.grus.", 0, "blocks.2."),
    ],
)
def test_a_stack_is_found_whatever_it_is_called(prefix, first, owner):
    state = {"before": torch.ones(1), **cells(prefix, layers=11, first=first), "after": 3}
    converted = convert_state_dict(state, "gru")
    assert list(converted)[1] == f"{owner}weight_ih_l0"
    assert list(converted)[-2] == f"{owner}bias_hh_l10"
    assert (converted["before"], converted["after"]) == (state["before"], 3)
    pattern = f"{prefix[len(owner) :]}{{}}"
    back = convert_state_dict(converted, "cell", cells=pattern)
    if first == 0:
        assert list(back) == list(state)


@pytest.mark.parametrize(
    ("prefix", "owner"), [("decoder.back", "decoder.back."), ("decoder.back.", "decoder.back.")]
)
def test_one_of_two_is_converted_under_its_own_name(prefix, owner):
    converted = convert_state_dict(TWO, "gru", prefix=prefix)
    assert list(converted)[:8] == list(cells("decoder.forth."))
    assert list(converted)[8] == f"{owner}weight_ih_l0"


def test_one_of_two_grus_is_converted():
    state = nn.ModuleDict({"a": nn.GRU(3, 4), "b": nn.GRU(3, 4)}).state_dict()
    converted = convert_state_dict(state, "cell", prefix="b")
    assert next(key for key in converted if "grus" in key) == "b.grus.0.weight_ih"
    assert "a.weight_ih_l0" in converted
    assert "a.grus.0.weight_ih" in convert_state_dict(state, "cell")


GAP = {key: value for key, value in cells("rnn.grus.", layers=3).items() if ".1." not in key}
PARALLEL = {**cells("rnn.grus.", layers=1), **cells("rnn.grus.", layers=1, first=1)}
BIASES = {**cells("rnn.grus.", layers=1), **cells("rnn.grus.", 4, layers=1, first=1, bias=False)}
BOTH_WAYS = nn.ModuleDict({"a": nn.GRU(3, 4, bidirectional=True)}).state_dict()


@pytest.mark.parametrize(
    ("state", "to", "options", "said"),
    [
        ({}, "gru", {}, "no stack of GRU cells found in this state dict"),
        (nn.LSTM(3, 4).state_dict(), "cell", {}, "no unidirectional GRU found in this"),
        (BOTH_WAYS, "cell", {}, "no unidirectional GRU found in this"),
        (cells("a."), "LSTM", {}, "to must be 'gru' or 'cell', got 'LSTM'"),
        (cells("a."), "gru", {"prefix": "b"}, "no stack of GRU cells found at 'b', only at 'a'"),
        (cells("a."), "gru", {"cells": "x"}, r"cells must contain one \{\} for the layer, got 'x'"),
        (TWO, "gru", {}, "'decoder.forth' and 'decoder.back' would both become 'decoder'; pass"),
        (TWO, "gru", {"prefix": "decoder"}, "pass one of 'decoder.forth', 'decoder.back'"),
        (HALF, "gru", {}, "'rnn.grus' is incomplete: missing weight_hh of layer 1"),
        (GAP, "gru", {}, "weight_ih of layer 1, weight_hh of layer 1, bias_ih of layer 1, bias_hh"),
        (BIASES, "gru", {}, "missing bias_ih of layer 1, bias_hh of layer 1"),
        (
            MIXED,
            "gru",
            {},
            "mixed dtypes: .*0.weight_ih is torch.float32, .*1.bias_hh is torch.float64",
        ),
        (PARALLEL, "gru", {}, r"grus.1.weight_ih has shape \(12, 3\), expected \(12, 4\)"),
        (
            {**cells("a.grus."), "a.weight_ih_l0": torch.ones(1)},
            "gru",
            {},
            "'a.grus.0.weight_ih' would become 'a.weight_ih_l0', which already exists",
        ),
    ],
)
def test_what_is_refused_is_named(state, to, options, said):
    with pytest.raises(ConversionError, match=said):
        convert_state_dict(state, to, **options)
