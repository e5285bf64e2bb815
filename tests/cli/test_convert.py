"""``stackgru convert`` as people call it: what is printed, refused, and never left half-made."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
import warnings
import zipfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from stackgru import StackingGRUCell
from stackgru.checkpoints import verify as verifying
from stackgru.checkpoints.verify import Differs
from stackgru.cli import convert as convert_command
from tests.subjects.checkpoints import HALF, MIXED, Model, trained, trust


def test_the_state_of_an_optimiser_goes_along(tmp_path, command):
    model = Model(StackingGRUCell)
    optimiser = trained(model)
    content = {"model": {"state": model.state_dict()}, "adam": optimiser.state_dict(), "step": 7}
    torch.save(content, tmp_path / "in.pt")
    process = command("convert", "in.pt", "out.pt", "--to", "gru", *trust())
    assert process.returncode == 0, process.stderr
    assert "decoder.rnn.grus.0.weight_ih  ->  decoder.rnn.weight_ih_l0\n" in process.stdout
    assert "optimiser 'adam': kept, since its parameters keep their order" in process.stdout
    assert process.stdout.endswith(
        "out.pt is written; 'decoder.rnn' computes bit by bit what it computed in in.pt.\n"
    )
    new = torch.load(tmp_path / "out.pt", weights_only=not trust())
    assert new["step"] == 7
    gru = Model(nn.GRU)
    gru.load_state_dict(new["model"]["state"])
    other = torch.optim.Adam(gru.parameters())
    other.load_state_dict(new["adam"])
    for one, two in zip(model.parameters(), gru.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(optimiser.state[one]["exp_avg"], other.state[two]["exp_avg"])


def test_numbered_cells_there_and_back(tmp_path, command):
    widths = zip(("gru_1", "gru_2"), (4, 5), strict=True)
    cells = [(name, nn.GRUCell(width, 5).state_dict()) for name, width in widths]
    state = {f"{name}.{key}": value for name, cell in cells for key, value in cell.items()}
    torch.save(state, tmp_path / "in.pt")
    there, back = "in.pt gru.pt --to gru --name gru", "gru.pt out.pt --to cell --stack gru_1,gru_2"
    for words in (there, back):
        process = command("convert", *words.split())
        assert process.returncode == 0, process.stderr
    again = torch.load(tmp_path / "out.pt", weights_only=True)
    assert list(again) == list(state)
    assert all(torch.equal(again[key], value) for key, value in state.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_safetensors_there_and_back(dtype, tmp_path, command):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    state = Model(StackingGRUCell).to(dtype).state_dict()
    safetensors.save_file(state, tmp_path / "in.safetensors", metadata={"format": "pt", "a": "b"})
    for read, made, to in (("in", "gru", "gru"), ("gru", "back", "cell")):
        names = (f"{read}.safetensors", f"{made}.safetensors")
        process = command("convert", *names, "--to", to)
        assert process.returncode == 0, process.stderr
    back = safetensors.load_file(tmp_path / "back.safetensors")
    assert all(torch.equal(back[key], value) for key, value in state.items())
    from safetensors import safe_open

    with safe_open(tmp_path / "gru.safetensors", "pt") as file:
        assert file.metadata()["a"] == "b"


class Evil:
    """Runs code as it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def files(tmp_path):
    """Write one of each file that cannot be converted; return what is said of each."""
    state = StackingGRUCell(3, 4).state_dict()
    torch.save({"model": state, "more": Evil()}, tmp_path / "evil.pt")
    torch.save(StackingGRUCell(3, 4), tmp_path / "module.pt")
    torch.save(state, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "page.pt").write_text("<!DOCTYPE html>")
    (tmp_path / "gz.pt").write_bytes(b"\x1f\x8b" + bytes(20))
    (tmp_path / "noise.pt").write_bytes(b"hello world" * 20)
    (tmp_path / "bytes.pt").write_bytes(bytes(range(1, 200)))  # the first is no pickle's
    (tmp_path / "index.json").write_text('{"weight_map": {"a": "m-1.safetensors"}}')
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated; files are still there
        torch.jit.script(nn.GRU(3, 4)).save(tmp_path / "script.pt")
    torch.save(HALF, tmp_path / "half.pt")
    torch.save(MIXED, tmp_path / "mixed.pt")
    return {
        "evil.pt": "loading it could execute code",
        "module.pt": "loading it could execute code",
        "truncated.pt": "is not a checkpoint that torch can read",
        "empty.pt": "is empty",
        "keras.h5": "is damaged, or of another format"
        if find_spec("h5py")
        else "requires the package h5py",
        "pointer.pt": "is a Git LFS pointer",
        "page.pt": "is a page of HTML",
        "gz.pt": "is compressed by gzip",
        "noise.pt": "is damaged, or of another format",
        "bytes.pt": "is damaged, or of another format",
        "index.json": "is the index of a checkpoint in several files; convert each of them: m-1.",
        "model.keras": "is a Keras file",
        "script.pt": "is a TorchScript archive",
        "text.safetensors": "is not a safetensors file"
        if find_spec("safetensors")
        else "reading text.safetensors requires the package safetensors",
        "half.pt": "is incomplete",
        "mixed.pt": "has mixed dtypes",
        "nowhere.pt": "No such file or directory",
    }


def test_bad_input_is_said_and_nothing_is_written(tmp_path, command):
    said = files(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, text in said.items():
        out = "out.safetensors" if name.endswith("safetensors") else "out.pt"
        process = command("convert", name, out, "--to", "gru")
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr.startswith("Error: ")
        assert text in process.stderr
        assert ("--trust" in process.stderr) == (name in ("evil.pt", "module.pt"))
        assert "Traceback" not in process.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_namespace_is_no_code(tmp_path, command):
    if not hasattr(torch.serialization, "add_safe_globals"):
        pytest.skip("this build of torch cannot allow single classes")
    state = StackingGRUCell(3, 4).state_dict()
    content = {"args": argparse.Namespace(lr=0.1), "model": state, "d": defaultdict(list)}
    torch.save(content, tmp_path / "in.pt")
    assert command("convert", "in.pt", "out.pt", "--to", "gru").returncode == 0
    found = torch.load(tmp_path / "out.pt", weights_only=False)
    assert found["args"] == content["args"]
    assert "weight_ih_l0" in found["model"]


def test_two_ways_there_and_back_from_the_command_line(tmp_path, command):
    cells = {
        f"{side}.{name}": value
        for side in ("fwd", "bwd")
        for name, value in nn.GRUCell(3, 4).state_dict().items()
    }
    torch.save(cells, tmp_path / "cells.pt")
    asked = command("convert", "cells.pt", "gru.pt", "--to", "gru")
    assert asked.returncode == 1
    assert "--both-ways fwd,bwd --name gru" in asked.stderr
    ways = ("--both-ways", "fwd,bwd")
    there = command("convert", "cells.pt", "gru.pt", "--to", "gru", *ways, "--name", "enc")
    assert there.returncode == 0, there.stderr
    back = command("convert", "gru.pt", "back.pt", "--to", "cell", *ways)
    assert back.returncode == 0, back.stderr
    found = torch.load(tmp_path / "back.pt")
    assert all(torch.equal(found[key], value) for key, value in cells.items())


def test_trusted_code_is_run(tmp_path, command):
    files(tmp_path)
    process = command("convert", "evil.pt", "out.pt", "--to", "gru", "--trust")
    assert (tmp_path / "ran").is_dir()
    assert "Error: out.pt" not in process.stderr
    process = command("convert", "module.pt", "new.pt", "--to", "gru", "--trust")
    assert "contains a whole StackingGRUCell" in process.stderr


def test_nothing_is_written_over(tmp_path, command):
    torch.save(StackingGRUCell(3, 4).state_dict(), tmp_path / "a.pt")
    old = (tmp_path / "a.pt").read_bytes()
    process = command("convert", "a.pt", "a.pt", "--to", "gru")
    assert process.returncode == 2
    assert "IN and OUT are the same file; --force overwrites it." in process.stderr
    (tmp_path / "b.pt").write_text("mine")
    process = command("convert", "a.pt", "b.pt", "--to", "gru")
    assert "b.pt exists; --force overwrites it." in process.stderr
    assert ((tmp_path / "b.pt").read_text(), (tmp_path / "a.pt").read_bytes()) == ("mine", old)
    process = command("convert", "a.pt", "a.safetensors", "--to", "gru")
    assert "must both be safetensors files" in process.stderr
    process = command("convert", "a.pt", "a.pt", "--to", "gru", "--force")
    assert process.returncode == 0
    assert list(torch.load(tmp_path / "a.pt", weights_only=True)) == list(nn.GRU(3, 4).state_dict())


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("no/such/b.pt", "Error: no/such/b.pt: No such file or directory.\n"),
        ("full/b.pt", "Error: full/b.pt: No space left on device.\n"),
        ("full/b.safetensors", "Error: full/b.safetensors: it is full.\n"),
    ],
)
def test_a_folder_that_cannot_be_written_to(out, said, tmp_path, monkeypatch, command):
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    import safetensors

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_too(*_, **__):
        raise safetensors.SafetensorError("it is full")

    (tmp_path / "full").mkdir()
    state = StackingGRUCell(3, 4).state_dict()
    torch.save(state, tmp_path / "a.pt")
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    if out.startswith("full"):
        monkeypatch.setattr(torch, "save", full)
        monkeypatch.setattr(safetensors.torch, "save_file", full_too)
    process = command("convert", f"a{Path(out).suffix}", out, "--to", "gru")
    assert process.returncode == 3
    assert process.stderr == said
    assert not list((tmp_path / "full").iterdir())


def test_what_differs_or_fails_is_not_kept(tmp_path, monkeypatch, command):
    torch.save(StackingGRUCell(3, 4).state_dict(), tmp_path / "a.pt")
    failures = {
        "Error: b.pt is not written: it lies.\n": Differs("it lies"),
        "Error: stackgru itself failed, so nothing is written: KeyError: 'x'\n": KeyError("x"),
    }
    for said, failure in failures.items():

        def fails(*_, failure=failure):
            raise failure

        monkeypatch.setattr(verifying, "assert_same", fails)
        process = command("convert", "a.pt", "b.pt", "--to", "gru")
        assert (process.returncode, process.stderr) == (3, said)
        assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_what_is_no_pickle_is_none_though_trusted(tmp_path, command):
    (tmp_path / "a.pt").write_bytes(b"no pickle")
    process = command("convert", "a.pt", "b.pt", "--to", "gru", "--trust")
    assert process.returncode == 1
    assert "a.pt is not a checkpoint that torch can read: " in process.stderr


def test_without_safetensors_that_is_said(tmp_path, monkeypatch, command):
    (tmp_path / "a.safetensors").write_bytes(b"something")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    process = command("convert", "a.safetensors", "b.safetensors", "--to", "gru")
    assert process.returncode == 1
    assert "reading a.safetensors requires the package safetensors." in process.stderr


def test_a_large_file_is_watched_on_a_terminal(tmp_path, monkeypatch, command):
    torch.save(StackingGRUCell(3, 4).state_dict(), tmp_path / "a.pt")
    monkeypatch.setattr(convert_command, "_LARGE", 1)
    process = command("convert", "a.pt", "b.pt", "--to", "gru")
    assert process.stderr == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    process = command("convert", "a.pt", "c.pt", "--to", "gru")
    assert "Reading a.pt" in process.stderr
    assert "Comparing c.pt" in process.stderr
    assert (tmp_path / "b.pt").read_bytes() == (tmp_path / "c.pt").read_bytes()


def test_converting_needs_no_hypothesis(tmp_path):
    torch.save(StackingGRUCell(3, 4).state_dict(), tmp_path / "a.pt")
    code = (
        "import sys; from stackgru.cli.main import cli\n"
        "try: cli(['convert', 'a.pt', 'b.pt', '--to', 'gru'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'hypothesis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
