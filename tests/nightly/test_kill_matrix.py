"""The kill matrix, as people call it, and the plain test that it compares stackgru with."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stackgru.targets.importing import TargetError
from tests.nightly.kill_matrix.__main__ import main
from tests.nightly.kill_matrix.catalogue import Subject, named_subjects, project_subjects
from tests.nightly.kill_matrix.plans import Examples, Seeds
from tests.nightly.kill_matrix.results import METHODS, Store
from tests.nightly.kill_matrix.summary import Counts, Summary
from tests.nightly.kill_matrix.worker import _flags_restored
from tests.subjects.plain_test import accepts, examples_to_difference
from tests.subjects.right.variants import Stack

ROOT = Path(__file__).parents[2]
LAWS = ["equation", "rows"]

FAULTS = '''
import os
from tests.subjects.right.variants import Stack

class Helper(Stack):
    def cell(self, cell, x, h):
        return self.changed(super().cell(cell, x, h))

class Gross(Helper):
    """Half as much again."""
    def changed(self, state):
        return state * 1.5

class Dies(Helper):
    """Takes its process with it, but only with many rows."""
    def changed(self, state):
        return os._exit(4) if len(state) > 8 else state
'''

RIGHT = '''
from tests.subjects.right.variants import Stack

class Right(Stack):
    """As it should be."""
'''


def kill_matrix(*arguments, cwd):
    """Run the command and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "tests.nightly.kill_matrix", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "faults.py").write_text(FAULTS)
    (tmp_path / "right.py").write_text(RIGHT)
    return tmp_path


def subject(name="Stack", *, is_fault=True, law=None):
    return Subject(f"tests.subjects.right.variants:{name}", is_fault, "cell", False, law, "source")


def result(status, examples=3, seconds=1.0):
    return {"status": status, "examples": examples, "seconds": seconds, "message": "", "case": ""}


def test_the_table_and_resuming(folder, monkeypatch, capsys):
    arguments = ["--faults", "faults.py:Gross", "--right", "right.py", "--max-examples", 10]
    arguments += ["--laws", "equation", "--laws", "causal", "--table", "table.csv"]
    process = kill_matrix(*arguments, cwd=folder)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "full   Gross  4 new results" in process.stderr
    header, fault, right = csv.reader((folder / "table.csv").read_text().splitlines())
    assert header == ["", "kind", "equation", "causal", *METHODS]
    assert fault[:2] + fault[3:4] == ["Gross", "cell", "-"]
    assert all(int(fault[column]) <= 10 for column in (2, 4, 5))
    assert right == ["right: Right", "cell", "", "-", "", ""]
    assert max(map(len, process.stdout.splitlines())) <= 80

    results = folder / "kill_matrix.jsonl"
    lines = results.read_text().splitlines()
    assert len(lines) == 8
    monkeypatch.chdir(folder)
    assert main([*map(str, arguments)]) == 0
    said = capsys.readouterr().err
    assert "Gross  0 new results" in said
    assert "Right  0 new results" in said
    assert results.read_text().splitlines() == lines


def test_what_is_wrong_is_said_loudly(folder):
    arguments = ["--faults", "faults.py:Dies", "--right", "faults.py:Gross", "--laws", "equation"]
    arguments += ["--right-examples", 1, "--max-examples", 10, "--seeds", 1]
    process = kill_matrix(*arguments, cwd=folder)
    assert process.returncode == 1, process.stdout + process.stderr
    said = " ".join(process.stdout.split())
    assert "ACCUSED faults.py:Gross, a right variant, by equation, seed 1: the target" in said
    assert "case: input_size=1 hidden_size=1 num_layers=1 batch=1" in said, "shrunk"
    assert "MISSED faults.py:Dies by all laws in seed 1" in said
    assert "crashed, no kill: equation on Dies, 1 times: its worker process died" in said


def test_usage(capsys):
    assert main(["--laws", "equatoin"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert "did you mean 'equation'?" in said


def test_help_shows_examples_and_exit_status(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "python -m tests.nightly.kill_matrix -n 2 --seeds 20" in said
    assert "exit status:" in said


def test_the_projects_own_subjects():
    subjects = project_subjects()
    names = [one.spec for one in subjects]
    assert len(names) == len(set(names))
    assert {"torch.nn:GRU", "stackgru:StackingGRUCell"} <= set(names)
    assert {one.is_fault for one in subjects} == {True, False}
    assert all(one.source for one in subjects)


def test_a_module_names_its_classes_with_docstrings(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = named_subjects(["faults.py", "right.py:Right"], is_fault=True, strict=True)
    assert [one.spec for one in found] == ["faults.py:Gross", "faults.py:Dies", "right.py:Right"]
    assert {one.group for one in found} == {"refusals"}
    (folder / "empty.py").write_text("")
    with pytest.raises(TargetError, match=r"empty\.py defines no torch\.nn\.Module with a docstr"):
        named_subjects(["empty.py"], is_fault=True)


def test_results_are_for_the_code_they_were_made_with(tmp_path):
    path = str(tmp_path / "results.jsonl")
    Store(path, 100).add(subject(), "rows", 1, result("violated"))
    assert Store(path, 100).get(subject(), "rows", 1)["examples"] == 3
    assert Store(path, 100).get(subject(), "rows", 2) is None
    assert Store(path, 200).get(subject(), "rows", 1) is None
    changed = Subject(
        "tests.subjects.right.variants:Stack", True, "cell", False, None, "another source"
    )
    assert Store(path, 100).get(changed, "rows", 1) is None


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    path = tmp_path / "results.jsonl"
    Store(str(path), 100).add(subject(), "rows", 1, result("violated"))
    path.write_text(path.read_text() + '{"subject": "tes')
    Store(str(path), 100).add(subject(), "rows", 2, result("holds"))
    found = [seed for _, seed, _ in Store(str(path), 100).of(subject(), ["rows"])]
    assert found == [1, 2]


def follow(plan, one, store, answers):
    """Return what a plan asks for, given the answers."""
    asked = []
    for law, seed in plan(one, store):
        asked.append((law, seed))
        store.add(one, law, seed, answers.get(law, result("holds")))
    return [(law, seed) for law, seed in asked if law not in METHODS]


def test_seeds_stop_at_the_first_violation_and_start_with_what_was_fast(tmp_path):
    store = Store(str(tmp_path / "results.jsonl"), 100)
    plan = Seeds(["equation", "rows", "chunks"], [1, 2])
    answers = {"rows": result("violated")}
    asked = follow(plan, subject(law="equation"), store, answers)
    assert asked == [("equation", 1), ("rows", 1), ("rows", 2)]


def test_right_variants_are_tried_until_there_are_enough_examples(tmp_path):
    store = Store(str(tmp_path / "results.jsonl"), 100)
    answers = {"equation": result("holds", 50), "rows": result("holds", 50)}
    asked = follow(Examples(LAWS, 1, 150), subject(is_fault=False), store, answers)
    assert asked == [("equation", 1), ("rows", 1), ("equation", 2), ("rows", 2)]


@pytest.mark.parametrize(
    ("status", "counts", "ok"),
    [
        ("violated", Counts(1, 1), True),
        ("holds", Counts(0, 1), False),
        ("crashed", Counts(0, 1), False),
        ("timed out", Counts(0, 1), False),
    ],
)
def test_only_a_violation_is_a_kill(status, counts, ok, tmp_path):
    store = Store(str(tmp_path / "results.jsonl"), 100)
    store.add(subject(), "equation", 1, result("holds"))
    store.add(subject(), "rows", 1, result(status))
    summary = Summary([subject()], LAWS, store, 1)
    assert summary.by_laws(subject()) == counts
    assert summary.ok == ok


def test_what_a_fault_changes_for_all_is_put_back():
    random_state = torch.get_rng_state()
    with _flags_restored():
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.rand(3)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random_state)


class Gross(Stack):
    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * 1.5


class Raises(Stack):
    def forward(self, input, h0):
        raise ValueError("no step today")


def test_the_plain_test():
    assert examples_to_difference(Gross, max_examples=5) == 1
    assert examples_to_difference(Raises, max_examples=5) == 1
    assert accepts(Stack, max_examples=20)
    assert accepts(torch.nn.GRU, sequence=True, max_examples=20)
