"""From a violation to a report, as people get it: check --report, repro, replay, and in pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stackgru
from stackgru.cases.case import Case
from stackgru.engine.run import collect_runs
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.report.report import Finding
from stackgru.repro import issue
from stackgru.repro.bug import bug_for, save_violation, which_is_wrong
from stackgru.repro.replay import replay
from stackgru.repro.scripts import run_in_process, script_for
from stackgru.repro.store import SavedReport, read
from stackgru.targets.target import load
from tests.helpers import HANDWRITTEN, ROOT
from tests.helpers import stackgru as command

WRONG = f"{HANDWRITTEN}:DropoutAfterTheLastLayer"
CASE = "mode=train dropout=0.5"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The folder of a run's reports, and the run."""
    folder = tmp_path_factory.mktemp("reports")
    options = ("--seed", 1, "--max-examples", 20, "--laws", "one-step", "--laws", "mask-count")
    process = command("check", WRONG, *options, "--report", "found", cwd=folder)
    return folder / "found", process


def test_check_saves_reports(reports):
    folder, process = reports
    assert process.returncode == 1
    places = sorted(folder.iterdir())
    assert [place.name.rpartition("-")[0] for place in places] == ["mask-count", "one-step"]
    for place in places:
        assert f"script:     {place / 'repro.py'}" in process.stdout.replace("\n              ", "")
        assert read(place).problem is None
    script = subprocess.run(
        [sys.executable, "-I", str(places[1] / "repro.py")], capture_output=True, text=True
    )
    assert script.returncode == 1
    assert "They differ." in script.stdout
    text = (places[1] / "issue.md").read_text()
    assert "### What is wrong" in text
    assert "away from it" in text
    assert "It is a draft." in text


def test_replay_says_what_is_still_there(reports):
    folder, _ = reports
    process = command("replay", folder, "--times", 1, cwd=folder.parent)
    assert process.returncode == 1
    assert process.stdout.count("still there  ") == 2
    assert process.stdout.endswith("2 still there.\n")


def test_a_target_that_has_moved(reports, tmp_path):
    folder, _ = reports
    source = (folder / os.listdir(folder)[0] / "repro.py").read_text()
    place = tmp_path / "found" / "moved"
    place.mkdir(parents=True)
    (place / "repro.py").write_text(source.replace(str(HANDWRITTEN.parent), "/no/such"))
    data = (folder / os.listdir(folder)[0] / "report.json").read_text()
    (place / "report.json").write_text(data)
    process = command("replay", tmp_path / "found", "--times", 1, cwd=tmp_path)
    assert process.returncode == 3
    assert "broken" in process.stdout
    assert "No module named 'handwritten'" in process.stdout


@pytest.mark.parametrize(("name", "said"), [("nowhere", "No such file"), ("", "no report in")])
def test_replay_of_nothing(name, said, tmp_path):
    process = command("replay", tmp_path / name, cwd=tmp_path)
    assert process.returncode == 2
    assert said in process.stderr


def test_repro_prints_the_script(tmp_path):
    process = command("repro", CASE, "--target", WRONG, "--law", "one-step", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) <= 40
    assert process.stdout.startswith('"""')
    assert process.stderr == ""


def test_repro_writes_a_file(tmp_path):
    options = ("--target", WRONG, "--law", "one-step", "--issue", "-o")
    process = command("repro", CASE, *options, "text.md", cwd=tmp_path)
    assert process.returncode == 0
    assert process.stdout == ""
    assert (tmp_path / "text.md").read_text().startswith(f"# {WRONG}")
    process = command("repro", CASE, *options, "no/such/folder.md", cwd=tmp_path)
    assert process.returncode == 3
    assert process.stdout.startswith("# ")
    assert "could not be written to no/such/folder.md" in process.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([CASE, "--law", "one-step"], 1, "one-step holds in this case"),
        (["dropuot=1", "--law", "one-step"], 2, "did you mean 'dropout'?\n"),
        (["seed=x", "--law", "one-step"], 2, "seed must be a whole number, got 'x'.\n"),
        ([CASE, "--law", "one-stop"], 2, "did you mean 'one-step'?"),
        ([CASE, "--law", "*"], 2, "'*' is more than one law."),
        ([CASE, "--law", "one-step", "--target", "nowhere:X"], 2, "no module named 'nowhere'"),
    ],
)
def test_repro_of_what_cannot_be(arguments, status, said, tmp_path):
    process = command("repro", *arguments, cwd=tmp_path)
    assert process.returncode == status
    assert said in process.stderr
    assert "Traceback" not in process.stderr


def test_a_folder_that_cannot_be_written_to(tmp_path):
    """A folder below a file; what was found is still printed."""
    (tmp_path / "file").write_text("")
    options = ("--seed", 1, "--max-examples", 10, "--laws", "one-step")
    process = command("check", WRONG, *options, "--report", "file/reports", cwd=tmp_path)
    assert process.returncode == 3
    assert "one-step is violated" in process.stdout
    assert "is not interchangeable with nn.GRU" in process.stdout
    assert "Error: a report is missing, for it could not be saved in " in process.stderr
    assert "Not a directory" in process.stderr


def finding(law="one-step", case=CASE):
    return Finding(law, str(Case.parse(case)), "output: got 0.0, expected 1.0")


def test_a_violation_that_is_not_there_again_is_labelled():
    bug = bug_for(load("torch.nn:GRU"), all_laws()["one-step"], finding())
    assert bug.report.problem == "the case does not show the violation again"
    assert bug.issue.startswith("# not reproduced, no report: torch.nn:GRU")
    assert "**The script does not show it" in bug.issue


def test_a_regression_of_torch_is_told_by_torch_alone():
    bug = bug_for(load(stackgru.StackingGRUCell), all_laws()["one-step"], finding())
    assert "stackgru" not in bug.script
    assert "### 🐛 Describe the bug" in bug.issue
    assert bug.issue.startswith("# not reproduced, no report: torch.nn.GRUCell: ")
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
    (run, _) = collect_runs(WRONG, Options(laws=("one-step",), seed=1, max_examples=10), {})
    with pytest.raises(AssertionError):
        run.run()

    def fails(*_, **__):
        raise ValueError("no such thing")

    monkeypatch.setattr("stackgru.repro.bug.script_for", fails)
    save_violation(run, tmp_path)
    assert run.result.violation.script is None
    assert run.result.violation.problem == "it could not be made: ValueError: no such thing"

    def none(*_, **__):
        from stackgru.repro.bug import NoScript

        raise NoScript("it is local")

    monkeypatch.setattr("stackgru.repro.bug.script_for", none)
    save_violation(run, tmp_path)
    assert run.result.violation.problem == "there is no script, for it is local"


def test_which_side_is_wrong():
    target = load("tests.subjects.broken.precision:Gain")
    text = which_is_wrong(target, Case(), strict=False)
    assert "`torch.nn.GRU` is " in text
    assert which_is_wrong(load("torch.nn:GRU"), Case(), strict=False) is None
    broken = load("tests.subjects.broken.rare_inputs:DeepAndWideFails")
    assert which_is_wrong(broken, Case(hidden_size=64, num_layers=6), strict=False) is None


def test_what_collect_env_leaves_out(monkeypatch):
    lines = "\n".join(issue.left_out("seed=5 batch=1"))
    for word in ("threads:", "CPU capability:", "TF32:", "cuDNN:", "seed=5"):
        assert word in lines
    from torch.utils import collect_env

    def fails():
        raise OSError("no lspci")

    monkeypatch.setattr(collect_env, "get_pretty_env_info", fails)
    issue.environment.cache_clear()
    assert issue.environment().endswith("(collect_env raised OSError: no lspci)")
    issue.environment.cache_clear()


def test_a_long_title_is_cut():
    report = SavedReport("m:T", "cell", "rows", "S.", "seed=1", "many words " * 20)
    text = issue.issue_text(report, "script", "out", None, about_torch=False)
    assert len(text.splitlines()[0]) < 120
    assert "no float64 reference can say" in text


def test_in_pytest_a_violation_ends_with_its_script(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(
        """
        import stackgru
        from tests.subjects.broken.precision import Gain
        test_it = stackgru.suite_for(Gain, laws=["equation"], max_examples=20)
        """
    )
    result = pytester.runpytest_subprocess("-n", "1", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, passed=1)
    (place,) = (pytester.path / ".stackgru").iterdir()
    result.stdout.fnmatch_lines(
        [
            "equation is violated*",
            f"  script:     {place / 'repro.py'}",
            "  again:      stackgru check tests.subjects.broken.precision:Gain --laws equation",
        ]
    )
    assert json.loads((place / "report.json").read_text())["law"] == "equation"


def test_the_report_that_is_kept_as_an_example():
    pytest.importorskip("opacus", reason="opacus is not installed")
    (found,) = replay(ROOT / "examples" / "reports", times=1)
    assert (found.status, found.report.target) == ("still there", "opacus.layers:DPGRU")
    assert len((found.folder / "repro.py").read_text().splitlines()) <= 40


def test_torch_is_as_it_was():
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
