"""From a violation to a bug report: its script, its issue, and which side is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import stackgru
from stackgru.cases.case import Case
from stackgru.cases.tensors import numbers_of, with_numbers
from stackgru.engine.collect import collect_runs
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violation
from stackgru.repro import bug as bugs
from stackgru.repro.bug import bug_for, save_violation, which_is_wrong
from stackgru.repro.replay import replay
from stackgru.repro.scripts import Script, run_in_process, script_for
from stackgru.repro.simplify import simplify
from stackgru.targets.target import load
from tests.helpers import HANDWRITTEN, ROOT, invoke
from tests.subjects.right.variants import Stack

WRONG = f"{HANDWRITTEN}:DropoutAfterTheLastLayer"
CASE = "mode=train dropout=0.5"
GAIN = "tests.subjects.broken.precision:Gain"
FINDING = Violation("equation", str(Case()), "output: got 0.0, expected 1.0")


def finding(law="one-step", case=CASE):
    return Violation(law, str(Case.parse(case)), "output: got 0.0, expected 1.0")


@pytest.mark.nightly
def test_a_violation_that_is_not_there_again_is_labelled():
    bug = bug_for(load("torch.nn:GRU"), all_laws()["one-step"], finding())
    assert bug.report.violation.problem == "the case does not show the violation again"
    assert bug.issue.startswith("# not reproduced: torch.nn:GRU")
    assert "**The script does not show it" in bug.issue


@pytest.mark.nightly
def test_a_regression_of_torch_is_told_by_torch_alone():
    bug = bug_for(load(stackgru.StackingGRUCell), all_laws()["one-step"], finding())
    assert "stackgru" not in bug.script
    assert "### 🐛 Describe the bug" in bug.issue
    assert bug.issue.startswith("# not reproduced: torch.nn.GRUCell: ")
    assert "They agree." in bug.printed


def test_such_a_regression_is_shown(monkeypatch):
    """No right implementation is asked for: the bundled cell is no better than torch's own."""
    right = torch.nn.GRUCell.forward
    monkeypatch.setattr(torch.nn.GRUCell, "forward", lambda *args: 1.001 * right(*args))
    target = load(stackgru.StackingGRUCell)
    script = script_for(target, all_laws()["one-step"], Case(2, 3, 2), "it is too large")
    assert script.problem is None
    assert run_in_process(script.text) == 1
    assert "stackgru" not in script.text
    assert which_is_wrong(target, Case(2, 3, 2), strict=False) is not None


def test_whatever_fails_the_violation_stays(tmp_path, monkeypatch):
    (run, _) = collect_runs(WRONG, Options(laws=("one-step",), seed=1, max_examples=10))
    with pytest.raises(AssertionError):
        run.run()

    def fails(*_, **__):
        raise ValueError("no such thing")

    monkeypatch.setattr("stackgru.repro.bug.script_for", fails)
    arguments = (run.target, run.law, run.result.violation, run.options, tmp_path)
    saved = save_violation(*arguments)
    assert saved == replace(
        saved, script=None, problem="it could not be made: ValueError: no such thing"
    )
    assert saved.message == run.result.violation.message

    def none(*_, **__):
        from stackgru.repro.bug import NoScript

        raise NoScript("it is local")

    monkeypatch.setattr("stackgru.repro.bug.script_for", none)
    assert save_violation(*arguments).problem == "there is no script: it is local"


def test_which_side_is_wrong():
    target = load("tests.subjects.broken.precision:Gain")
    text = which_is_wrong(target, Case(), strict=False)
    assert "`torch.nn.GRU` is " in text
    assert which_is_wrong(load("torch.nn:GRU"), Case(), strict=False) is None
    broken = load("tests.subjects.broken.rare_inputs:DeepAndWideFails")
    assert which_is_wrong(broken, Case(hidden_size=64, num_layers=6), strict=False) is None


@pytest.mark.nightly
def test_the_report_that_is_kept_as_an_example():
    pytest.importorskip("opacus", reason="opacus is not installed")
    (found,) = replay(ROOT / "examples" / "reports", times=1)
    assert (found.status, found.report.target) == ("still there", "opacus.layers:DPGRU")
    assert len((found.folder / "repro.py").read_text().splitlines()) <= 40


def test_torch_is_as_it_was():
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


class OnlyHere(Stack):
    """Wrong where IS_WRONG says so, which no other process does."""

    def result(self, output, hn):
        return super().result(output + IS_WRONG, hn)


IS_WRONG = 0


@pytest.mark.nightly
@pytest.mark.parametrize("case", [Case(), Case(2, 3, 2, 2, 3), Case(dropout=0.5, mode="train")])
def test_what_differs_now_and_then_is_called_until_it_does(case):
    target = load("tests.subjects.broken.conduct:RarelyWrong")
    bug = bug_for(target, all_laws()["equation"], replace(FINDING, case=str(case)))
    assert bug.report.violation.problem is None
    assert "  # it does not happen every time\n" in bug.script
    assert "difference: 0.001" in bug.printed
    assert "rounding allows 0\n" in bug.printed


def test_what_shows_by_chance_is_told_another_way():
    target, law = load("tests.subjects.broken.draws:MasksFromPython"), all_laws()["one-step"]
    case = Case(num_layers=2, dropout=0.5, mode="train")
    script = script_for(target, law, case, "nothing")
    assert script.problem is None
    assert [run_in_process(script.text) for _ in range(20)] == [1] * 20


@pytest.mark.nightly
def test_what_another_process_does_not_show_is_no_report(monkeypatch):
    monkeypatch.setattr(f"{__name__}.IS_WRONG", 1)
    bug = bug_for(load(OnlyHere), all_laws()["equation"], FINDING, seconds=1)
    assert bug.report.violation.problem == "in a clean process the two agree"
    result = invoke("repro", Case(), "--target", f"{__name__}:OnlyHere", "--law", "equation")
    assert result.exit_code == 1
    assert "Not reproducible: in a clean process the two agree." in result.stderr


@pytest.mark.nightly
def test_plain_numbers_that_a_script_does_not_show_are_given_up(monkeypatch):
    """Then the numbers that the case draws are tried."""
    target, law = load(GAIN), all_laws()["equation"]
    small = simplify(target, law, Case())
    right = with_numbers(
        Case(), {name: [0.0] * len(one) for name, one in numbers_of(Case()).items()}
    )
    monkeypatch.setattr(bugs, "simplify", lambda *_, **__: replace(small, case=right))
    bug = bug_for(target, law, FINDING)
    assert bug.report.violation.problem is None
    assert bug.report.numbers == {}
    assert bug.report.digits == (small.before, small.before)


def test_a_script_that_ends_otherwise_is_labelled():
    script, printed = bugs._run(Script("raise ValueError('no')"))
    assert script.problem == "in a clean process it ended with ValueError: no"
    assert printed == "ValueError: no"
