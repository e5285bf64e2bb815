"""`stackgru repro`, `stackgru replay` and `stackgru check --report`, as people call them."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import pytest

from stackgru.cli import repro as report_commands
from stackgru.repro import bug as bugs
from stackgru.repro.store import read
from tests.helpers import HANDWRITTEN, invoke

FAULT = "DropoutAfterTheLastLayer"
WRONG = f"{HANDWRITTEN}:{FAULT}"
CASE = "mode=train dropout=0.5"
GAIN = "tests.subjects.broken.precision:Gain"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The folder of a run's reports, and the run."""
    folder = tmp_path_factory.mktemp("reports")
    options = ("--seed", 1, "--max-examples", 20, "--laws", "one-step")
    target = shutil.copy(HANDWRITTEN, folder)
    result = invoke("check", f"{target}:{FAULT}", *options, "--report", folder / "found")
    return folder / "found", result


def test_check_saves_reports(reports):
    folder, result = reports
    assert result.exit_code == 1
    (place,) = folder.iterdir()
    assert place.name.startswith("one-step-")
    assert str(place / "repro.py") in result.stdout.split()
    assert read(place).violation.problem is None
    text = (place / "issue.md").read_text()
    assert "### What is wrong" in text
    assert "They differ." in text, "what the script printed in a process of its own"
    assert "away from it" in text
    assert "It is a draft." in text


def test_replay_says_what_is_still_there(reports):
    result = invoke("replay", reports[0], "--times", 1)
    assert result.exit_code == 1
    assert result.stdout.count("still there  ") == 1
    assert result.stdout.endswith("1 still there.\n")


def test_a_target_that_has_moved(reports, tmp_path):
    folder, _ = reports
    place = shutil.copytree(folder / os.listdir(folder)[0], tmp_path / "found" / "moved")
    source = (place / "repro.py").read_text()
    there = str(folder.parent)
    assert there in source
    (place / "repro.py").write_text(source.replace(there, "/no/such"))
    result = invoke("replay", tmp_path / "found", "--times", 1)
    assert result.exit_code == 3
    assert "broken" in result.stdout
    assert "No module named 'handwritten'" in result.stdout


@pytest.mark.parametrize(("name", "said"), [("nowhere", "No such file"), ("", "no bug report in")])
def test_replay_of_nothing(name, said, tmp_path):
    result = invoke("replay", tmp_path / name)
    assert result.exit_code == 2
    assert said in result.stderr


def test_repro_prints_the_script():
    result = invoke("repro", CASE, "--target", WRONG, "--law", "one-step")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) <= 40
    assert result.stdout.startswith('"""')
    assert result.stderr == ""


def test_repro_writes_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--target", WRONG, "--law", "one-step", "--issue", "-o")
    result = invoke("repro", CASE, *options, "text.md")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "text.md").read_text().startswith(f"# {WRONG}")
    monkeypatch.setattr(report_commands, "_bug", lambda *_: SimpleNamespace(issue="# text"))
    result = invoke("repro", CASE, *options, "no/such/folder.md")
    assert result.exit_code == 3
    assert result.stdout.startswith("# ")
    assert "could not be written to no/such/folder.md" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([CASE, "--law", "one-step"], 1, "The case does not violate one-step."),
        (["dropuot=1", "--law", "one-step"], 2, "did you mean 'dropout'?\n"),
        (["seed=x", "--law", "one-step"], 2, "seed must be a whole number, got 'x'.\n"),
        ([CASE, "--law", "one-stop"], 2, "did you mean 'one-step'?"),
        ([CASE, "--law", "*"], 2, "'*' is more than one law."),
        ([CASE, "--law", "one-step", "--target", "nowhere:X"], 2, "no module named 'nowhere'"),
    ],
)
def test_repro_of_what_cannot_be(arguments, status, said):
    result = invoke("repro", *arguments)
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    """A folder below a file; what was found is still printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    options = ("--seed", 1, "--max-examples", 10, "--laws", "one-step")
    result = invoke("check", WRONG, *options, "--report", "file/reports")
    assert result.exit_code == 3
    assert "laws:    one-step" in result.stdout
    assert "is not interchangeable with nn.GRU" in result.stdout
    assert "Error: a bug report is missing: it could not be saved in " in result.stderr
    assert "Not a directory" in result.stderr


def test_a_case_of_a_target_without_a_name_has_no_script(monkeypatch):
    def none(*_, **__):
        raise bugs.NoScript("it is local")

    monkeypatch.setattr(bugs, "script_for", none)
    result = invoke("repro", "seed=1", "--target", GAIN, "--law", "equation")
    assert result.exit_code == 2
    assert result.stderr == "Error: there is no script: it is local.\n"


def test_repro_that_fails_itself_says_so(monkeypatch):
    def fails(*_):
        raise ValueError("no")

    monkeypatch.setattr(report_commands, "_bug", fails)
    result = invoke("repro", "seed=1", "--target", GAIN, "--law", "equation")
    assert result.exit_code == 3
    assert "stackgru itself failed, so there is no script: ValueError: no" in result.stderr
