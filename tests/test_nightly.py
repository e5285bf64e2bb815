"""What nightly does with its results: records, resumes, and counts what is wrong."""

from __future__ import annotations

import json
import re

import pytest
import torch

from tests.helpers import ROOT
from tests.nightly.__main__ import PARTS, main
from tests.subjects.catalogue import FAULTS
from tests.subjects.plain_test import accepts, examples_to_difference
from tests.subjects.right.variants import Stack

SUBJECTS = '''
import os
from tests.subjects.right.variants import Stack

class Gross(Stack):
    """Half as much again."""
    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * 1.5

class Dies(Stack):
    """Takes its process with it, but only with many rows."""
    def cell(self, cell, x, h):
        return os._exit(4) if len(x) > 8 else super().cell(cell, x, h)
'''


@pytest.mark.nightly
def test_a_crash_is_no_catch_and_what_is_recorded_is_not_run_again(tmp_path, capfd):
    own = tmp_path / "own.py"
    own.write_text(SUBJECTS)
    command = ["faults", f"--faults={own}", "--laws=equation", "--max-examples=10", "-n=1"]
    command += [f"--results={tmp_path}"]
    assert main(command) == 1
    summary = json.loads((tmp_path / "faults.json").read_text())
    assert (summary["passed"], summary["failed"], summary["crashed"]) == (1, 0, 1)
    assert summary["figures"]["not_caught"] == ["Dies"]
    assert summary["figures"]["first_law"] == {"equation": 1}
    assert "| faults | 2 | 0 | 1 | 0 |" in capfd.readouterr().out

    results = tmp_path / "faults.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(line for line in lines if "Dies" in line))
    (tmp_path / "faults.json").unlink()
    assert main([*command, "-n=0"]) == 1  # what is recorded is not run again
    assert "1 passed, 1 deselected" in capfd.readouterr().out
    assert {json.loads(line)["id"] for line in results.read_text().splitlines()} == {
        json.loads(line)["id"] for line in lines
    }


@pytest.mark.nightly
def test_a_right_variant_that_is_accused_is_reported(tmp_path, capfd):
    own = tmp_path / "own.py"
    own.write_text(SUBJECTS)
    command = ["right", f"--right={own}:Gross", "--laws=equation", "--max-examples=10", "-n=0"]
    command += ["--right-examples=1", f"--results={tmp_path}"]
    assert main(command) == 1
    printed = capfd.readouterr().out
    assert re.search(r"ACCUSED \S+own\.py:Gross, a right variant, with seed 1", printed)
    assert "input_size=1 hidden_size=1 num_layers=1 batch=1" in printed, "shrunk"

    assert main(command) == 1
    assert "done at" in capfd.readouterr().out


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fualts"])
    assert f"choose from {', '.join(PARTS)}" in capsys.readouterr().err


def test_what_mutation_testing_runs_is_there():
    text = (ROOT / "cosmic-ray.toml").read_text()
    paths = re.findall(r"(?:stackgru|tests)/\S+\.py", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_names_of_faults_are_unique():
    names = [fault.__name__ for fault in FAULTS]
    assert len(names) == len(set(names))


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
