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
    ("prefix", "first", "name", "gru"),
    [
        ("decoder.rnn.layers.", 0, None, "decoder.rnn.layers."),  # OpenNMT's
        ("decoder.rnn.layers.", 0, "decoder.rnn", "decoder.rnn."),
        ("rnn.", 0, None, "rnn."),
        ("grus.", 0, None, ""),
        ("", 0, None, ""),
        ("decoder.gru_", 1, "decoder.gru", "decoder.gru."),
        ("gru_", 1, "", ""),
        ("decoder.cell", 0, "decoder", "decoder."),
        ("blocks.2.grus.", 0, None, "blocks.2."),
    ],
)
def test_a_stack_is_found_whatever_it_is_called(prefix, first, name, gru):
    state = {"before": torch.ones(1), **cells(prefix, layers=11, first=first), "after": 3}
    converted = convert_state_dict(state, "gru", name=name)
    assert list(converted)[1] == f"{gru}weight_ih_l0"
    assert list(converted)[-2] == f"{gru}bias_hh_l10"
    assert (converted["before"], converted["after"]) == (state["before"], 3)
    owner = prefix.rpartition(".")[0] if not prefix.endswith(".") else prefix.removesuffix(".")
    cell = f"{prefix[len(owner) :].lstrip('.')}{{{first}}}"
    back = convert_state_dict(converted, "cell", name=owner, cells=cell)
    assert list(back) == list(state)


def test_numbered_attributes_have_no_name_to_keep():
    said = "a.gru_1 and a.gru_2 are attributes of their own, .* for example --name a.gru$"
    with pytest.raises(ConversionError, match=said):
        convert_state_dict(cells("a.gru_", first=1), "gru")


def test_a_single_cell_is_a_stack_of_one_there_and_back():
    cell = {f"dec.{name}": value for name, value in nn.GRUCell(3, 4).state_dict().items()}
    gru = convert_state_dict(cell, "gru")
    assert next(iter(gru)) == "dec.weight_ih_l0"
    assert list(convert_state_dict(gru, "cell", cells="")) == list(cell)
    assert "dec.one.weight_ih" in convert_state_dict(gru, "cell", cells="one")
    two = nn.GRU(3, 4, 2).state_dict()
    with pytest.raises(ConversionError, match=r"has 2 layers, so the name of a cell must contain"):
        convert_state_dict(two, "cell", cells="")


SIDE_BY_SIDE = {
    f"{side}.{name}": value
    for side in ("fwd", "bwd")
    for name, value in nn.GRUCell(3, 4).state_dict().items()
}


def test_cells_side_by_side_are_asked_about():
    said = "'fwd', 'bwd' stand side by side, .* --both-ways fwd,bwd --name gru, or --stack fwd,bwd"
    with pytest.raises(ConversionError, match=said):
        convert_state_dict(SIDE_BY_SIDE, "gru")
    gru = convert_state_dict(SIDE_BY_SIDE, "gru", both_ways=("fwd", "bwd"), name="enc")
    assert {f"enc.{key}" for key in nn.GRU(3, 4, bidirectional=True).state_dict()} == set(gru)
    back = convert_state_dict(gru, "cell", both_ways=("fwd", "bwd"))
    assert all(back[key] is value for key, value in SIDE_BY_SIDE.items())
    one = convert_state_dict(SIDE_BY_SIDE, "gru", prefix="bwd")
    assert list(one)[3:5] == ["fwd.bias_hh", "bwd.weight_ih_l0"]
    square = {f"{n}.{k}": v for n in "ab" for k, v in nn.GRUCell(4, 4).state_dict().items()}
    gru = convert_state_dict(square, "gru", stack="ab", name="gru")
    assert "gru.weight_ih_l1" in gru
    back = convert_state_dict(gru, "cell", stack="ab")
    assert all(back[key] is value for key, value in square.items()), "there and back"
    with pytest.raises(ConversionError, match=r"'gru' has 2 layers; --stack must .*, got c$"):
        convert_state_dict(gru, "cell", stack="c")
    with pytest.raises(ConversionError, match="'gru' goes one way"):
        convert_state_dict(gru, "cell", both_ways=("a", "b"))
    with pytest.raises(ConversionError, match=r"bwd\.weight_ih has shape"):
        convert_state_dict(SIDE_BY_SIDE, "gru", stack=("fwd", "bwd"), name="gru")


def test_a_bidirectional_gru_of_two_layers_there_and_back():
    gru = nn.GRU(3, 4, 2, bidirectional=True).state_dict()
    ways = ("ahead.{}", "back.{}")
    cells_ = convert_state_dict(gru, "cell", both_ways=ways)
    assert cells_["back.1.weight_ih"].shape == (12, 8)
    back = convert_state_dict(cells_, "gru", both_ways=("ahead", "back"), name="")
    assert {key: id(value) for key, value in back.items()} == {k: id(v) for k, v in gru.items()}


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_each_layer_has_a_cell_each_way(num_layers):
    gru = nn.GRU(3, 4, num_layers, bidirectional=True).state_dict(prefix="enc.")
    names = [f"{way}{layer}" for layer in range(num_layers) for way in ("ahead.", "back.")]
    cells_ = convert_state_dict(gru, "cell", both_ways=names)
    assert {key.rpartition(".")[0] for key in cells_} == {*names}
    for layer in range(num_layers):
        for way, suffix in (("ahead.", ""), ("back.", "_reverse")):
            own = gru[f"enc.weight_hh_l{layer}{suffix}"]
            assert cells_[f"{way}{layer}.weight_hh"] is own
    back = convert_state_dict(cells_, "gru", both_ways=names, name="enc")
    assert {**back} == {**gru}
    if num_layers > 1:
        with pytest.raises(ConversionError, match="say what its cells are to be called"):
            convert_state_dict(gru, "cell", both_ways=[f"{name}.{{}}" for name in names])
    with pytest.raises(ConversionError, match=r"'ahead\.0' is named twice"):
        convert_state_dict(gru, "cell", both_ways=["ahead.0", *names[:-1]])
    with pytest.raises(ConversionError, match="two names, or two for each layer"):
        convert_state_dict(cells_, "gru", both_ways=names[:-1], name="enc")


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
        (nn.LSTM(3, 4).state_dict(), "cell", {}, "no GRU found in this"),
        (BOTH_WAYS, "cell", {}, "'a' is bidirectional; say what its cells are to be called"),
        (cells("a."), "LSTM", {}, "to must be 'gru' or 'cell', got 'LSTM'"),
        (cells("a."), "gru", {"prefix": "b"}, "no stack of GRU cells found at 'b', only at 'a'"),
        (cells("a."), "gru", {"cells": "{}{}"}, r"cells may contain one \{\} for the layer, got"),
        (TWO, "gru", {"name": "a"}, "only one can get the name 'a'; pass one of 'decoder.forth'"),
        (TWO, "gru", {"prefix": "decoder"}, "pass one of 'decoder.forth', 'decoder.back'"),
        (HALF, "gru", {}, "'rnn.grus' is incomplete: missing weight_hh of layer 1"),
        (GAP, "gru", {}, r"1 layer is missing among .*; pass --stack .* if these are all"),
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
