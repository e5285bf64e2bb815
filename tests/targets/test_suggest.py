"""Conventions from the command line, and those that are suggested because they fit."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stackgru import Convention, TargetError
from stackgru.cli.main import cli
from stackgru.diagnosis.search import Diagnosis
from stackgru.engine import run as running
from stackgru.targets.target import load
from tests.subjects.conventions import called_otherwise, catalogue, fused
from tests.subjects.conventions.catalogue import LAYERS_FIRST


def checked(capsys, *words):
    """Run the command line in this process; return its exit status and what it printed."""
    with pytest.raises(SystemExit) as ended:
        cli(["check", *words, "--seed", "1"])
    return ended.value.code, capsys.readouterr()


FEW = ("--laws", "equation", "--laws", "one-step", "--laws", "purity", "--max-examples")


def nightly(*row):
    """A row that only nightly tries; the same stacks are tried from Python by default."""
    return pytest.param(*row, marks=pytest.mark.nightly)


@pytest.fixture(autouse=True)
def in_the_folder_of_the_targets(monkeypatch):
    monkeypatch.chdir(Path(catalogue.__file__).parent)


def place(name):
    """Return the file that defines a name, with the name."""
    module = next(one for one in (catalogue, called_otherwise, fused) if hasattr(one, name))
    return f"{Path(module.__file__).name}:{name}"


@pytest.mark.parametrize(
    ("name", "words", "status"),
    [
        ("LayersFirst", f"--arguments {','.join(LAYERS_FIRST)} --state tuple", 0),
        nightly("LayersFirstFromTheTop", f"--arguments {','.join(LAYERS_FIRST)} --state tuple", 1),
        nightly("InPlace", "--state list", 0),
        nightly("InPlaceOfTheTensors", "--state list", 1),
        nightly("SideBySide", "--state concatenated", 0),
        ("StateOnly", "--returns state", 0),
        nightly("StateBefore", "--returns state,output", 0),
        nightly("RowsFirst", "--state batch-first", 0),
        ("RowsFirstMixed", "--state batch-first", 1),
        nightly("OneStep", "--time-axis", 0),
        nightly("NoRate", "", 0),
        nightly("Numbered", "", 0),
        nightly("NumberedTwice", "", 1),
        ("SequenceInATuple", "--state tuple --returns 'state, output'", 0),
        nightly("in_place", "", 0),
        nightly("update_first", "", 0),
        ("update_first_forgotten", "", 1),
    ],
)
def test_from_the_command_line(name, words, status, capsys, monkeypatch):
    monkeypatch.setattr(running, "diagnose", lambda *_, **__: Diagnosis())  # not asked here
    found, shown = checked(capsys, place(name), *shlex.split(words), *FEW, "15" if status else "3")
    assert found == status, shown.err
    if status:  # the line that reruns it, as it stands
        again = " ".join(shown.out.split()).partition("again: stackgru check ")[2]
        told = shlex.join([place(name), *shlex.split(words)])
        assert again.startswith(f"{told} --laws ")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("LayersFirst", "cell", f"--arguments {','.join(LAYERS_FIRST)} --state tuple"),
        nightly("InPlace", "cell", "--state list"),
        nightly("SideBySide", "cell", "--state concatenated"),
        ("StateOnly", "cell", "--returns state"),
        nightly("StateBefore", "cell", "--returns state,output"),
        nightly("RowsFirst", "cell", "--state batch-first"),
        ("OneStep", "cell", "--time-axis"),
        nightly("WholeSequence", "sequence", "--state batch-first"),
        ("SequenceInATuple", "sequence", "--state tuple --returns state,output"),
    ],
)
def test_what_fits_is_found_by_trying(name, kind, words, capsys):
    status, shown = checked(capsys, place(name))
    assert status == 2
    *_, said, line = shown.err.splitlines()
    assert said == f"It fits as a {kind} with another convention. Try:"
    assert line == f"  stackgru check {place(name)} {words}"
    assert (
        checked(capsys, *shlex.split(line)[2:], "--laws", "equation", "--max-examples", "3")[0] == 0
    )


def test_weights_that_are_not_found_are_for_the_user_to_tell(capsys):
    name = "UpdateFirst"
    status, shown = checked(capsys, place(name))
    assert status == 2
    said, *advice = shown.err.splitlines()
    assert said.startswith(f"Error: the weights of {place(name)} were not found")
    assert f"stackgru.Convention({name}, weights=layers)" in advice[-1]
    assert len(advice) == 4


def test_weights_of_what_can_be_called_in_another_way_are_for_the_user_to_tell():
    with pytest.raises(TargetError) as caught:
        load("driven.py:Normalized")
    _, said, *_, code = str(caught.value).splitlines()
    words = "--state concatenated --returns state"
    assert said == f"It can be called with {words}, but its weights were not found."
    convention = 'state="concatenated", returns="state", weights=layers'
    assert code.startswith(f"  MINE = stackgru.Convention(Normalized, {convention})")


def test_what_has_no_parameters_is_said_to_have_none():
    with pytest.raises(
        TargetError, match=r"WithoutParameters has no parameters; if .* say where\.$"
    ):
        load("driven.py:WithoutParameters")


def test_a_convention_that_does_not_fit_is_corrected_in_python():
    with pytest.raises(TargetError) as caught:
        load(Convention(called_otherwise.RowsFirst, constants={"dropout": 0.5}, state="tuple"))
    line = str(caught.value).splitlines()[-1].strip()
    said = "stackgru.Convention(RowsFirst, constants={'dropout': 0.5}, state=\"batch-first\")"
    assert line == said


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        (
            "EqualWidths",
            "def MINE(hidden_size, num_layers, dropout): "
            "return EqualWidths(hidden_size, hidden_size, num_layers, dropout)",
            "--arguments hidden_size,num_layers,dropout --returns state",
        ),
        (
            "SecondWidthUnused",
            "def MINE(hidden_size): return SecondWidthUnused(hidden_size, hidden_size)",
            "--arguments hidden_size --returns state",
        ),
        (
            "ListedWidths",
            "def MINE(input_size, hidden_size, num_layers): "
            "return ListedWidths(input_size, [hidden_size] * num_layers)",
            "",
        ),
        (
            "SummedWidths",
            "def MINE(input_size, hidden_size, num_layers): "
            "return SummedWidths(input_size, hidden_size * num_layers, num_layers)",
            "",
        ),
    ],
)
def test_a_constructor_of_other_widths_gets_a_factory(name, code, words, tmp_path, monkeypatch):
    with pytest.raises(TargetError) as caught:
        load(f"widths.py:{name}")
    _, said, line, then, command = str(caught.value).splitlines()
    assert said == "It fits as a cell, built by a line in widths.py:"
    assert (line, then) == (f"  {code}", "Then try:")
    assert command == f"  stackgru check widths.py:MINE {words}".rstrip()
    # What it says is what it takes.
    text = Path("widths.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(f"{text}\n\n{code}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    fields = {"arguments": tuple(words.split()[1].split(",")), "returns": "state"} if words else {}
    assert load("mine.py:MINE", fields=fields).kind == "cell"


def test_what_is_built_and_not_called_with_other_widths_is_said():
    assert load("widths.py:SecondWidthUnused", fields={"returns": "state"}).limits == {
        "input_size other than hidden_size": "it cannot be called then"
    }
