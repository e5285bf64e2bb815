"""Reports that cannot be had as they should: what is said, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from stackgru.cases.case import Case
from stackgru.cases.tensors import numbers_of, with_numbers
from stackgru.cli import main as command_line
from stackgru.cli import repro as report_commands
from stackgru.laws.registry import all_laws
from stackgru.report.report import Finding
from stackgru.repro import bug as bugs
from stackgru.repro.bug import bug_for
from stackgru.repro.scripts import Script, run_in_process, script_for
from stackgru.repro.simplify import simplify
from stackgru.targets.target import load
from tests.report.test_report import HELD, law_result, report
from tests.subjects.right.variants import Stack

GAIN = "tests.subjects.broken.precision:Gain"
FINDING = Finding("equation", str(Case()), "output: got 0.0, expected 1.0")


def run(*arguments):
    """Call the command line in this process."""
    return CliRunner().invoke(command_line.cli, list(map(str, arguments)))


def test_a_case_of_a_target_without_a_name_has_no_script(monkeypatch):
    def none(*_, **__):
        raise bugs.NoScript("it is local")

    monkeypatch.setattr(bugs, "script_for", none)
    result = run("repro", "seed=1", "--target", GAIN, "--law", "equation")
    assert result.exit_code == 2
    assert result.stderr == "Error: there is no script, for it is local.\n"


def test_repro_that_fails_itself_says_so(monkeypatch):
    def fails(*_):
        raise ValueError("no")

    monkeypatch.setattr(report_commands, "_bug", fails)
    result = run("repro", "seed=1", "--target", GAIN, "--law", "equation")
    assert result.exit_code == 3
    assert "stackgru itself failed, so there is no script: ValueError: no" in result.stderr


@pytest.mark.parametrize("case", [Case(), Case(2, 3, 2, 2, 3), Case(dropout=0.5, mode="train")])
def test_what_differs_now_and_then_is_called_until_it_does(case):
    target = load("tests.subjects.broken.conduct:RarelyWrong")
    bug = bug_for(target, all_laws()["equation"], replace(FINDING, case=str(case)))
    assert bug.report.problem is None
    assert "  # it does not happen every time\n" in bug.script
    assert "difference: 0.001" in bug.printed
    assert "where rounding allows 0\n" in bug.printed


def test_what_shows_by_chance_is_told_another_way():
    target, law = load("tests.subjects.broken.draws:MasksFromPython"), all_laws()["one-step"]
    case = Case(num_layers=2, dropout=0.5, mode="train")
    script = script_for(target, law, case, "nothing")
    assert script.problem is None
    assert [run_in_process(script.text) for _ in range(20)] == [1] * 20


class OnlyHere(Stack):
    """Wrong where IS_WRONG says so, which no other process does."""

    def result(self, output, hn):
        return super().result(output + IS_WRONG, hn)


IS_WRONG = 0


def test_what_another_process_does_not_show_is_no_report(monkeypatch):
    monkeypatch.setattr(f"{__name__}.IS_WRONG", 1)
    bug = bug_for(load(OnlyHere), all_laws()["equation"], FINDING, seconds=1)
    assert bug.report.problem == "in a clean process the two agree"
    result = run("repro", Case(), "--target", f"{__name__}:OnlyHere", "--law", "equation")
    assert result.exit_code == 1
    assert "This is no report: in a clean process the two agree." in result.stderr


def test_plain_numbers_that_a_script_does_not_show_are_given_up(monkeypatch):
    """Then the numbers that the case draws are tried."""
    target, law = load(GAIN), all_laws()["equation"]
    small = simplify(target, law, Case())
    right = with_numbers(
        Case(), {name: [0.0] * len(one) for name, one in numbers_of(Case()).items()}
    )
    monkeypatch.setattr(bugs, "simplify", lambda *_, **__: replace(small, case=right))
    bug = bug_for(target, law, FINDING)
    assert bug.report.problem is None
    assert bug.report.numbers == {}
    assert bug.report.digits == (small.before, small.before)


def test_a_script_that_ends_otherwise_is_labelled():
    script, printed = bugs._run(Script("raise ValueError('no')"))
    assert script.problem == "in a clean process it ended with ValueError: no"
    assert printed == "ValueError: no"


def test_what_is_known_is_no_verdict_where_a_law_crashed():
    crashed = law_result("rows", status="crashed", violation=None, reason="no")
    known = law_result("chunks", case="seed=1", status="known")
    found = report(*HELD, crashed, known)
    assert found.known
    assert found.sentence == "my:Stack: no verdict, because of rows."
