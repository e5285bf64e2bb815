"""Checkpoints converted: what goes along, what is dropped, and what is refused."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from stackgru import ConversionError, StackingGRUCell
from stackgru.checkpoints.files import Checkpoint, Converted, convert, read, save
from stackgru.checkpoints.state_dict import Choice, renaming
from stackgru.checkpoints.verify import Differs, assert_same, original
from tests.subjects.checkpoints import trained


def moved(content, to="gru"):
    return convert(Checkpoint(content), to, None, Choice())


def test_a_state_by_name_is_renamed():
    model = StackingGRUCell(3, 4)
    state = model.state_dict()
    moments = {name: {"exp_avg": torch.ones_like(value)} for name, value in state.items()}
    groups = [{"lr": 0.1, "params": list(state), "param_names": list(state)}]
    content = {"model": state, "optimiser": {"state": moments, "param_groups": groups}}
    new, done = moved(content)
    names = list(nn.GRU(3, 4).state_dict())
    assert list(new.content["optimiser"]["state"]) == names
    assert new.content["optimiser"]["param_groups"][0]["params"] == names
    assert new.content["optimiser"]["param_groups"][0]["param_names"] == names
    assert done.notes == ["optimiser 'optimiser': renamed with its parameters"]
    assert list(content["optimiser"]["state"]) == list(state)


def test_a_state_whose_order_changes_is_dropped():
    state = OrderedDict(reversed(StackingGRUCell(3, 4).state_dict().items()))
    moments = {i: {"exp_avg": torch.ones_like(value)} for i, value in enumerate(state.values())}
    groups = [{"lr": 0.1, "params": list(range(len(state)))}]
    content = {"model": state, "adam": {"state": moments, "param_groups": groups}}
    new, done = moved(content)
    assert new.content["adam"] == {"state": {}, "param_groups": groups}
    assert "state dropped, since the order of its parameters changes" in done.notes[0]


def test_the_state_of_other_parameters_is_left():
    other = trained(nn.Linear(7, 8)).state_dict()
    content = {"model": StackingGRUCell(3, 4).state_dict(), "critic": other}
    new, done = moved(content)
    assert new.content["critic"] == other
    assert done.notes == [
        "optimiser 'critic': left unchanged, since it belongs to other parameters"
    ]


def test_optimisers_in_a_list_go_along_as_well():
    state = StackingGRUCell(3, 4).state_dict()
    by_name = {"state": {name: {"step": 1} for name in state}, "param_groups": []}
    other = trained(nn.Linear(7, 8)).state_dict()
    content = {"state_dict": state, "optimizer_states": [other, by_name], "loops": [1, "fit"]}
    new, done = moved(content)
    assert list(new.content["optimizer_states"][1]["state"]) == list(nn.GRU(3, 4).state_dict())
    assert new.content["optimizer_states"][0] == other
    assert new.content["loops"] == content["loops"]
    assert done.notes == [
        "optimiser 'optimizer_states.0': left unchanged, since it belongs to other parameters",
        "optimiser 'optimizer_states.1': renamed with its parameters",
    ]
    assert list(content["optimizer_states"][1]["state"]) == list(state)


def test_a_key_may_hold_a_full_stop():
    state = StackingGRUCell(3, 4).state_dict()
    content = {"a": {"x": 1}, "a.b": {"c": state}}
    new, done = moved(content)
    assert done.key == "a.b.c"
    assert list(new.content["a.b"]["c"]) == list(nn.GRU(3, 4).state_dict())
    assert new.content["a"] == {"x": 1}


def test_one_of_several_state_dicts_is_named():
    content = {"m0": StackingGRUCell(3, 4).state_dict(), "m1": StackingGRUCell(3, 4).state_dict()}
    with pytest.raises(ConversionError, match="pass one of 'm0', 'm1' as the key"):
        moved(content)
    new, _ = convert(Checkpoint(content), "gru", "m1", Choice())
    assert list(new.content["m0"]) == list(content["m0"])
    assert list(new.content["m1"]) == list(nn.GRU(3, 4).state_dict())
    with pytest.raises(ConversionError, match="no state dict at 'model0'; did you mean 'model'"):
        convert(Checkpoint({"model": content["m0"]}), "gru", "model0", Choice())
    with pytest.raises(ConversionError, match="there is no state dict at ''"):
        moved([1, 2])


def test_what_differs_after_writing_is_found():
    state = StackingGRUCell(3, 4).state_dict()
    new, done = moved(state)
    was = original(Checkpoint(state), done, "gru")
    assert_same(was, new, done, "gru")
    wrong = {**new.content, "bias_hh_l0": new.content["bias_hh_l0"] + 1}
    with pytest.raises(Differs, match=r"'bias_hh_l0' differs"):
        assert_same(was, Checkpoint(wrong), done, "gru")
    half = {**new.content, "bias_hh_l0": new.content["bias_hh_l0"].half()}
    with pytest.raises(Differs, match=r"'bias_hh_l0' differs"):
        assert_same(was, Checkpoint(half), done, "gru")
    with pytest.raises(Differs, match="5 entries instead of 4"):
        assert_same(was, Checkpoint({**new.content, "x": 1}), done, "gru")
    found, names = renaming(state, "gru", Choice())
    swapped = {**names, "grus.0.bias_ih": "bias_hh_l0", "grus.0.bias_hh": "bias_ih_l0"}
    twisted = {swapped[key]: value for key, value in state.items()}
    crossed = Converted("", swapped, found)
    was = original(Checkpoint(state), crossed, "gru")
    with pytest.raises(Differs, match="'' gives different results on random input"):
        assert_same(was, Checkpoint(twisted), crossed, "gru")


def test_a_torch_that_reads_no_floats_says_so_of_itself(tmp_path, monkeypatch):
    def refuse(*_, **__):  # as torch 1.13.1 does
        raise pickle.UnpicklingError("Weights only load failed: Unsupported operand 71")

    path = tmp_path / "a.pt"
    torch.save({"lr": 0.1}, path)
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ConversionError, match=r"a decimal point.* reads only with --trust"):
        read(path)


def test_where_c_cannot_pickle_python_does(tmp_path, monkeypatch):
    """As with torch 2.5 on Python 3.13; what was written by then is not left in the file."""
    made = torch.save

    def fails_in_c(content, file, **options):
        if "pickle_module" not in options:
            file.write(b"begun" * 1000)
            raise AttributeError("read-only")
        made(content, file, **options)

    monkeypatch.setattr(torch, "save", fails_in_c)
    cells = StackingGRUCell(3, 4, 2).state_dict()
    save(cells, tmp_path / "cells.pt")
    back = torch.load(tmp_path / "cells.pt", weights_only=True)
    assert list(back) == list(cells)
    assert all(torch.equal(back[key], value) for key, value in cells.items())
