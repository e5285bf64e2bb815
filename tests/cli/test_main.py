"""The command line; in a process of its own only where that matters."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from stackgru.laws.registry import CATALOGUE_VERSION, all_laws
from tests.helpers import HANDWRITTEN, ROOT, last_line, stackgru
from tests.report.test_report import law_result, report

# Only with more rows, or steps, than the calls that find the kind have.
SLOW = """
import time, os
from handwritten import Right

class Sleeps(Right):
    def forward(self, input, h0):
        if len(input) > 6:
            time.sleep(60)
        return super().forward(input, h0)

class Dies(Right):
    def forward(self, input, h0):
        if len(input) > 6:
            os.kill(os.getpid(), 9)
        return super().forward(input, h0)[1]
"""


@pytest.mark.nightly  # that a right cell holds is seen in test_a_users_file, the laws in its suite
def test_the_bundled_cell_holds(tmp_path):
    # What loads torch's compiler and its transforms takes longer than all the rest.
    skipped = ("--skip", "transforms", "--skip", "meta", "--skip", "forward-mode")
    process = stackgru("check", "--max-examples", 2, *skipped, "--json", "r.json", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    laws = json.loads((tmp_path / "r.json").read_text())["laws"]
    count = 45 - sum("this build" in (law["reason"] or "") for law in laws)
    assert f"StackingGRUCell is interchangeable with nn.GRU: all {count} laws" in last_line(process)
    assert "[50/50]" in process.stderr
    assert "same seeds (whole sequences)  no" in process.stdout
    assert "\x1b" not in process.stdout + process.stderr


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("Right", 0),
        pytest.param("DropoutAfterTheLastLayer", 1, marks=pytest.mark.nightly),
        pytest.param("FirstStateForAll", 1, marks=pytest.mark.nightly),
        pytest.param("StatesInReverse", 1, marks=pytest.mark.nightly),
        pytest.param("ResetBeforeTheProduct", 1, marks=pytest.mark.nightly),
        ("DropoutOfItsOwnSeed", 1),
    ],
)
def test_a_users_file(name, status, tmp_path, command):
    report = tmp_path / "report.json"
    target = f"{HANDWRITTEN}:{name}"
    options = ["--seed", 1, "--max-examples", 12, "--json", report]
    for law in ("equation", "one-step", "unrolled", "same-masks"):
        options += ["--laws", law]
    process = command("check", target, *options)
    assert process.returncode == status, process.stdout + process.stderr
    data = json.loads(report.read_text())
    assert data["target"] == target
    assert data["kind"] == "cell"
    assert data["seed"] == 1
    assert data["verdict"]["ok"] == (status == 0)
    assert data["verdict"]["sentence"] == last_line(process)
    for law in data["laws"]:
        assert (law["status"] == "violated") == (law["violation"] is not None)
        assert law["status"] in ("holds", "violated", "not applicable")
    answers = list(data["verdict"].values())[2:5]
    # The same as in the table of the docs.
    assert f"| `{name}` | {' | '.join(answers)} |" in (ROOT / "docs" / "violations.md").read_text()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere:Thing", "there is no module named 'nowhere'."),
        ("handwritten:Rihgt", "handwritten has no attribute 'Rihgt'; did you mean 'Right'?"),
        ("handwritten:nn", "handwritten:nn is not callable: it is a module."),
        ("raises.py:Thing", "importing raises.py raised ValueError: boom (raises.py:1)."),
        ("handwritten:Right --laws equatoin", "no law is called 'equatoin'; did you mean"),
        ("handwritten:Right --dtype float8", "--dtype must be one of 'float64', 'float32'"),
        ("handwritten:Right --device nonsense", "device 'nonsense' cannot be used"),
        ("handwritten:Right --laws rows --skip rows", "all selected laws are skipped."),
    ],
)
def test_usage_is_one_clear_sentence(target, said, tmp_path, command):
    (tmp_path / "raises.py").write_text("raise ValueError('boom')")
    (tmp_path / "handwritten.py").write_text(HANDWRITTEN.read_text())
    process = command("check", *target.split())
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("Error: ")
    assert said in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_traceback_on_demand(command):
    process = command("check", "nowhere:Thing", "--traceback")
    assert process.returncode == 2
    assert "Traceback (most recent call last)" in process.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "--lawz"), "Did you mean '--laws'?"),
        (("chekc",), "Did you mean 'check'?"),
        (("check", "-n", "many"), "n must be a whole number or 'auto'"),
        (("check", "--max-examples", "0"), "--max-examples"),
    ],
)
def test_wrong_options_are_usage(arguments, said, command):
    process = command(*arguments)
    assert process.returncode == 2
    assert said in process.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_pytests_own_options_and_a_target_that_kills_its_process(tmp_path):
    (tmp_path / "handwritten.py").write_text(HANDWRITTEN.read_text())
    (tmp_path / "slow.py").write_text(SLOW)
    junit = tmp_path / "junit.xml"
    laws = ("--laws", "equ*", "--laws", "empty-*", "--returns", "state")
    arguments = (*laws, "-n", 1, "--", f"--junitxml={junit}")
    process = stackgru("check", "slow:Dies", *arguments, cwd=tmp_path)
    assert process.returncode == 1, process.stdout + process.stderr
    assert "equation is violated: the process died (SIGKILL)" in process.stdout
    assert "batch=7" in process.stdout, "it was not shrunk"
    assert "[2/2]" in process.stderr
    assert re.search("empty-batch +holds", process.stderr), "in the process that took its place"
    assert "test_law[empty-batch]" in junit.read_text()
    assert " passed" in process.stdout, "pytest's own output is shown where it got arguments"


def test_stops_at_the_first_violation(command):
    target = f"{HANDWRITTEN}:StatesInReverse"
    process = command("check", target, "--", "-x")
    assert process.returncode == 1
    assert "is not interchangeable with nn.GRU" in last_line(process)
    assert "\n0 laws hold in 0 cases" in process.stdout, "others were run"


def test_a_law_that_takes_too_long(tmp_path, command):
    (tmp_path / "handwritten.py").write_text(HANDWRITTEN.read_text())
    (tmp_path / "slow.py").write_text(SLOW)
    arguments = ("--laws", "equation", "--timeout", 1, "-v")
    process = command("check", "slow:Sleeps", *arguments)
    assert process.returncode == 3
    assert "timed out" in process.stdout
    assert "whole sequences from one seed" in process.stdout, "what was measured is not lost"
    assert re.search(r"not measured +the rest, within the 1 s limit", process.stdout)
    assert "no verdict, because of equation" in last_line(process)


def test_where_violations_cannot_be_kept(tmp_path, command):
    (tmp_path / ".hypothesis").write_text("a file")
    arguments = ("--laws", "equation", "--max-examples", 12, "--seed", 1)
    process = command("check", f"{HANDWRITTEN}:StatesInReverse", *arguments)
    assert process.returncode == 1
    kept = f"The next run cannot begin with these cases: {tmp_path / '.hypothesis'} cannot be"
    assert kept in process.stderr


def test_a_report_that_cannot_be_written(command):
    arguments = ("--laws", "equation", "--max-examples", 5, "--json", "no/such/folder.json")
    process = command("check", *arguments)
    assert process.returncode == 3
    assert "the report could not be written to no/such/folder.json: No such file" in process.stderr
    assert "1 law holds in 5 cases" in process.stdout


def test_if_the_checker_itself_fails_there_is_no_verdict(monkeypatch, command):
    monkeypatch.setattr(pytest, "main", lambda *_, **__: pytest.ExitCode.INTERNAL_ERROR)
    process = command("check", "--laws", "no-draws")
    assert process.returncode == 3
    assert process.stdout == ""
    assert process.stderr.startswith(
        "Error: stackgru itself failed, so there is no verdict: CheckerFailed: pytest ended with"
    )


def test_settings_of_the_folder_do_not_count(tmp_path, command):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError")
    process = command("check", "--laws", "equation", "--max-examples", 5)
    assert process.returncode == 0, process.stderr


@pytest.mark.nightly
def test_one_seed_finds_the_same_case(tmp_path):
    """In processes of their own: what is drawn depends on what else has been imported, too."""
    arguments = ("check", f"{HANDWRITTEN}:DropoutOfItsOwnSeed", "--laws", "same-draws", "--seed", 5)
    arguments += ("--max-examples", 20, "-n", 1)
    (tmp_path / "other").mkdir()  # without the database of the first
    first, second = (stackgru(*arguments, cwd=tmp_path / name) for name in (".", "other"))
    assert first.stdout == second.stdout


def test_help_groups_the_options_and_shows_examples_and_exit_status(command):
    process = command("check", "--help")
    assert process.returncode == 0
    headings = re.findall(r"^([A-Z].*):$", process.stdout, flags=re.MULTILINE)
    assert headings == [
        *("What to check", "How TARGET is built and called", "How much to try"),
        *("Output", "Running"),
    ]
    assert len(re.findall(r"^  --?[a-z]", process.stdout, flags=re.MULTILINE)) <= 30
    assert "stackgru check path/to/cell.py:MyCell" in process.stdout
    assert "Exit status:" in process.stdout
    assert max(map(len, process.stdout.splitlines())) <= 80


def test_neither_help_nor_the_plugin_imports_torch():
    code = (
        "import sys, stackgru.cli.main, stackgru.pytest_plugin.plugin; "
        "sys.exit(bool({'torch', 'hypothesis'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_laws_are_listed(command):
    process = command("laws")
    assert process.returncode == 0
    text = " ".join(process.stdout.split())
    for law in all_laws().values():
        assert f"{law.name} {law.statement}" in text


def test_the_page_of_laws_has_a_row_for_each(command):
    page = command("laws", "--markdown").stdout
    assert f"Catalogue version {CATALOGUE_VERSION}, {len(all_laws())} laws." in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    tried = page.index("## What each law tries")
    assert page[tried:].count("\n| `") == len(all_laws())
    for row, law in zip(rows[: len(all_laws())], all_laws().values(), strict=True):
        cells = row.replace("\\|", "/").split(" | ")
        assert cells[:2] == [f"| `{law.name}`", law.statement.replace("|", "/")]
        assert len(cells) == 3
    assert re.findall("^## (.*)", page, flags=re.MULTILINE) == [
        *dict.fromkeys(law.family for law in all_laws().values()),
        "What each law tries",
    ]


def test_what_pytest_does_not_take_is_the_users_mistake(command):
    process = command("check", "stackgru:StackingGRUCell", "--", "--no-such")
    assert process.returncode == 2
    assert "pytest does not take the arguments after --." in process.stderr


def test_an_interrupted_command(monkeypatch, command):
    monkeypatch.setattr(pytest, "main", lambda *_, **__: pytest.ExitCode.INTERRUPTED)
    process = command("check", "--laws", "no-draws")
    assert process.returncode == 130
    assert process.stderr.endswith("Interrupted: no verdict.\n")


def test_an_atlas_shows_what_differs_between_builds(command, tmp_path):
    reports = [
        report(law_result("equation"), law_result("unrolled", status=status, reason=reason))
        for status, reason in (("holds", None), ("not applicable", "it is not there"))
    ]
    for report_of_one, version in zip(reports, ("1.0", "2.0"), strict=True):
        text = replace(report_of_one, torch_version=version).to_json()
        (tmp_path / f"{version}.json").write_text(text)
    shown = command("atlas", "1.0.json", "2.0.json", "--json", "atlas.json")
    assert shown.returncode == 0
    assert "\n  unrolled\n  1.0: holds\n  2.0: not applicable: it is not there\n" in shown.stdout
    assert json.loads((tmp_path / "atlas.json").read_text())["builds"] == ["1.0", "2.0"]
    table = command("atlas", "--markdown", "1.0.json", "2.0.json").stdout
    assert "| unrolled | holds | n/a [1] |" in table


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "Missing argument 'FILES...'"),
        (["gone.json"], 2, "File 'gone.json' does not exist."),
        (["broken.json"], 2, "Error: broken.json: this is not a report of stackgru's"),
    ],
)
def test_an_atlas_of_what_is_no_report(command, tmp_path, arguments, status, said):
    (tmp_path / "broken.json").write_text("{}")
    shown = command("atlas", *arguments)
    assert shown.returncode == status
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr
