"""Checks in processes of their own, of targets that end, stop or flood those."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

import stackgru
from stackgru.laws.names import FAMILIES, NAMES, selected
from stackgru.laws.registry import all_laws
from stackgru.options import Options, UsageError
from tests.helpers import checked_apart, left_running, start_check
from tests.subjects.hostile import KINDS, spec

pytestmark = pytest.mark.apart
FEW = ("--laws", "equation", "--laws", "empty-batch", "--laws", "purity")


@pytest.mark.parametrize(
    "kind", ["AbortsOnAnEmptyBatch", pytest.param("HangsDeaf", marks=pytest.mark.nightly)]
)
def test_a_hostile_target_is_survived(kind, tmp_path):
    """Nightly tries every kind, and all laws."""
    status, data, _, _ = checked_apart(spec(kind), tmp_path, *FEW)
    assert status in KINDS[kind]
    laws = {law["name"]: law for law in data["laws"]}
    assert list(laws) == ["equation", "empty-batch", "purity"]
    if kind == "AbortsOnAnEmptyBatch":
        violation = laws["empty-batch"]["violation"]
        assert re.fullmatch(
            r"the process died \(SIGABRT\) in act \(hostile.py:\d+\)", violation["message"]
        )
        assert "batch=0" in violation["case"]
        assert laws["equation"]["status"] == "holds"


FILLS = """
import os
from pathlib import Path
from torch import nn

class FillsMemory(nn.GRU):
    is_full = True

    def forward(self, input, hx=None):
        if not input.numel() and self.is_full:
            held = b"x" * (900 << 20)
            os.abort()
        return super().forward(input, hx)

class FillsMemoryOnce(FillsMemory):
    @property
    def is_full(self):
        try:
            Path("was_full").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
"""


def test_a_law_in_a_process_that_is_full_is_tried_in_another(tmp_path):
    (tmp_path / "fills.py").write_text(FILLS)
    laws = ("--laws", "equation", "--laws", "empty-batch", "-n", 1)
    status, data, _, _ = checked_apart("fills:FillsMemoryOnce", tmp_path, *laws)
    assert status == 0, data
    assert (tmp_path / "was_full").exists()
    assert {law["status"] for law in data["laws"]} == {"holds"}


@pytest.mark.nightly
def test_a_death_near_the_limit_on_memory_is_no_violation(tmp_path):
    (tmp_path / "fills.py").write_text(FILLS)
    laws = ("--laws", "empty-batch", "-n", 1)
    status, data, _, _ = checked_apart("fills:FillsMemory", tmp_path, *laws)
    assert status == 3
    (law,) = data["laws"]
    assert law["status"] == "crashed"
    assert "near the 1 GiB of --memory" in law["reason"]


def test_a_target_that_ends_the_process_as_it_is_built_is_one_sentence(tmp_path):
    status, data, _, errors = checked_apart("tests.subjects.hostile:ExitsAtOnce", tmp_path)
    assert (status, data) == (2, None)
    assert errors.startswith("Error: tests.subjects.hostile:ExitsAtOnce cannot be called as a ")
    assert "it raised SystemExit: 0" in errors


def test_a_class_that_can_be_imported_by_its_name_is_checked_apart():
    found = stackgru.check(stackgru.StackingGRUCell, n=1, laws=["no-draws"], max_examples=2, seed=1)
    assert (found.ok, found.is_isolated) == (True, True)

    class Local(stackgru.StackingGRUCell):
        """No other process can import it."""

    found = stackgru.check(Local, laws=["no-draws"], max_examples=2, seed=1)
    assert (found.ok, found.is_isolated) == (True, False)
    assert "not isolated" in str(found).splitlines()[0]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)]
)
def test_an_interrupted_run_shows_what_there_is(number, tmp_path):
    arguments = ("--max-examples", 10, "-n", 1, "-v")
    process = start_check(*arguments, cwd=tmp_path, mark="interrupted")
    process.stderr.readline()  # the first law's result
    started = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 3
    assert process.returncode == 130
    assert errors.endswith("Interrupted: no verdict.\n")
    assert "equation  " in output
    assert output.count("  not run ") >= 30
    assert not left_running("interrupted")


@pytest.mark.nightly
def test_at_the_end_of_its_seconds_a_run_shows_what_there_is(tmp_path):
    report = tmp_path / "report.json"
    process = start_check(
        "--seconds", 25, "-n", 1, "--max-examples", 2000, "--json", report, cwd=tmp_path
    )
    process.communicate(timeout=60)
    assert process.returncode == 3
    laws = json.loads(report.read_text())["laws"]
    assert [law["name"] for law in laws] == list(NAMES)
    reasons = {law["reason"] for law in laws if law["status"] == "not run"}
    assert reasons == {"the run's 25 s were over"}


def test_seconds_that_are_too_few(tmp_path):
    process = start_check("--seconds", 0.01, cwd=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "Error: --seconds 0.01 is over before the target is loaded.\n"


def test_the_names_are_those_of_the_registry():
    assert {law.name: (law.family, law.question) for law in all_laws().values()} == NAMES
    assert list(all_laws()) == list(NAMES)
    assert selected(Options(laws=("transforms",), skip=("vm*",)))[-1] == "trace"
    assert "divergence" in FAMILIES
    with pytest.raises(UsageError, match="did you mean 'equation'"):
        selected(Options(laws=("equatoin",)))
