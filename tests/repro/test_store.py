"""Saved bug reports: written whole or not at all, found again, replayed."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from stackgru.cases.case import Case
from stackgru.outcomes import Violation
from stackgru.repro import store as saved
from stackgru.repro.replay import replay, run_script
from stackgru.repro.store import BrokenBugReport, BugReport, read, write

REPORT = BugReport(
    target="my:Stack",
    kind="cell",
    statement="It is the equation.",
    violation=Violation(
        law="equation",
        case="input_size=1",
        message="new state: got 0.25, expected 1e-05 at step 0, layer 1",
        difference=float("inf"),
    ),
    numbers={"input": (0.5,)},
)


def changed(**changes):
    """Return the bug report of another violation."""
    return replace(REPORT, violation=replace(REPORT.violation, **changes))


TEXTS = dict.fromkeys(("target", "kind", "law", "statement", "case", "message"), "")
SAYS = "import sys\nprint('They {}.')\nsys.exit({})\n"
DIFFER, AGREE = SAYS.format("differ", 1), SAYS.format("agree", 0)
#: Differs in every second run; its own folder counts.
FLAKY = """
import pathlib, sys
count = pathlib.Path(__file__).with_name("count")
runs = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (runs + 1))
print("They differ." if runs % 2 else "They agree.")
sys.exit(runs % 2)
"""


def test_what_is_written_is_read(tmp_path):
    place = write(tmp_path / "new" / "folder", REPORT, DIFFER, "# Title")
    assert place.name == REPORT.key
    assert sorted(path.name for path in place.iterdir()) == ["issue.md", "report.json", "repro.py"]
    back = read(place)
    assert replace(back, convention=(), digits=()) == REPORT
    assert os.listdir(place.parent) == [place.name]


def test_the_key_is_of_law_and_place_and_not_of_the_numbers():
    message = REPORT.violation.message.replace("0.25", "-3.5e+08")
    again = changed(case="seed=7", message=message)
    assert again.key == REPORT.key
    for other in (
        changed(law="rows"),
        replace(REPORT, target="my:Other"),
        changed(message="hn: got 1.0, expected 2.0"),
    ):
        assert other.key != REPORT.key


def test_the_same_violation_found_again_is_one_report(tmp_path):
    write(tmp_path, REPORT, DIFFER, "first")
    place = write(tmp_path, changed(case="seed=7"), AGREE, "second")
    assert len(list(tmp_path.iterdir())) == 1
    assert (place / "issue.md").read_text() == "second"
    assert (place / "repro.py").read_text() == AGREE
    assert read(place).violation.case == "seed=7"


def test_two_runs_into_one_folder_do_not_harm_each_other(tmp_path):
    failures = []

    def run(name):
        for _ in range(40):
            try:
                write(tmp_path, changed(case=name), f"# {name}", name)
            except OSError as error:
                failures.append(error)

    runs = [threading.Thread(target=run, args=(f"seed={index}",)) for index in range(3)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert not failures
    (place,) = tmp_path.iterdir()
    case = read(place).violation.case
    assert (place / "repro.py").read_text() == f"# {case}"
    assert (place / "issue.md").read_text() == case


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    place = write(tmp_path, REPORT, DIFFER, "first")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, REPORT, AGREE, "second")
    assert (place / "repro.py").read_text() == DIFFER
    assert list(tmp_path.iterdir()) == [place]


def test_another_process_that_never_lets_go(tmp_path, monkeypatch):
    write(tmp_path, REPORT, DIFFER, "first")
    rename = os.rename

    def back_at_once(old, new):
        rename(old, new)
        if str(old).endswith(REPORT.key):  # as if another one had written again
            (tmp_path / REPORT.key / "x").mkdir(parents=True)

    monkeypatch.setattr(saved.os, "rename", back_at_once)
    with pytest.raises(OSError, match="keeps writing"):
        write(tmp_path, REPORT, AGREE, "second")


def test_another_process_that_has_moved_it_away(tmp_path, monkeypatch):
    write(tmp_path, REPORT, DIFFER, "first")
    rename = os.rename

    def gone(old, new):
        if str(old).endswith(REPORT.key):
            rename(old, str(tmp_path / ".elsewhere"))
        rename(old, new)

    monkeypatch.setattr(saved.os, "rename", gone)
    assert read(write(tmp_path, REPORT, AGREE, "second")) is not None


def test_a_folder_that_cannot_be_renamed(tmp_path, monkeypatch):
    def denied(old, new):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(saved.os, "rename", denied)
    with pytest.raises(PermissionError):
        write(tmp_path, REPORT, AGREE, "second")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "is not a bug report of stackgru's"),
        ("{}", "is not a bug report of stackgru's"),
        ('{"schema_version": 9}', "schema version 9; this stackgru reads 1"),
        ('{"schema_version": 1, "target": 3}', "has no text for 'target'"),
        (
            json.dumps({"schema_version": 1, "numbers": {"input": [None]}, **TEXTS}),
            "report.json is damaged: ",
        ),
    ],
)
def test_a_corrupt_report(text, said, tmp_path):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(BrokenBugReport, match=said):
        read(tmp_path)


def test_replay(tmp_path):
    scripts = {
        "still there": DIFFER,
        "fixed": AGREE,
        "flaky": FLAKY,
        "raises": "import nowhere",
        "silent": "import sys\nsys.exit(7)",
    }
    for law, script in scripts.items():
        write(tmp_path, changed(law=law), script, "")
    write(tmp_path, changed(law="never", problem="it did not"), AGREE, "")
    (tmp_path / "zz-corrupt").mkdir()
    (tmp_path / "zz-corrupt" / "report.json").write_text("{")
    gone = write(tmp_path, changed(law="without"), AGREE, "")
    (gone / "repro.py").unlink()
    found = {one.folder.name.rpartition("-")[0]: one for one in replay(tmp_path, times=2)}
    assert {law: one.status for law, one in found.items()} == {
        "still there": "still there",
        "fixed": "fixed",
        "flaky": "flaky",
        "raises": "broken",
        "silent": "broken",
        "never": "broken",
        "zz": "broken",
        "without": "broken",
    }
    assert found["flaky"].reason == "1 of 2 runs differed"
    assert "No module named 'nowhere'" in found["raises"].reason
    assert found["silent"].reason == "the script ended with status 7"
    assert "never showed" in found["never"].reason
    assert "is not JSON" in found["zz"].reason
    assert found["without"].reason == "repro.py is missing"


def test_one_report_is_replayed_by_its_own_folder(tmp_path):
    place = write(tmp_path, REPORT, AGREE, "")
    assert [one.status for one in replay(place, times=1)] == ["fixed"]


def test_a_script_runs_alone(tmp_path):
    """Isolated: neither the folder it is called from nor the environment is seen."""
    (tmp_path / "local.py").write_text("")
    script = tmp_path / "elsewhere.py"
    script.write_text("import os\nassert not os.listdir()\nimport local")
    assert "No module named 'local'" in run_script(script).error


def test_a_script_that_hangs_is_stopped(tmp_path):
    script = tmp_path / "hangs.py"
    script.write_text("import time\ntime.sleep(60)")
    assert run_script(script, timeout=0.5).error == "it exceeded the 0.5 s limit"


def test_numbers_without_a_json_number_are_texts(tmp_path):
    place = write(tmp_path, replace(REPORT, numbers={"input": (float("nan"),)}), "", "")
    data = json.loads((place / "report.json").read_text(), parse_constant=pytest.fail)
    assert data["numbers"] == {"input": ["nan"]}
    assert data["difference"] == "inf"


def test_a_bug_report_of_0_1_is_read_and_replayed(tmp_path):
    data = Path(__file__).parent / "data"
    place = tmp_path / "one-step-2f30658a"
    shutil.copytree(data / "of-0.1", place)
    shutil.copy(data / "cell_of_0_1.py", tmp_path / "cell.py")
    script = (place / "repro.txt").read_text().replace("/home/user/project", str(tmp_path))
    (place / "repro.py").write_text(script)
    (found,) = replay(tmp_path / place.name, times=1)
    assert (found.status, found.reason) == ("still there", "")
    assert (found.report.target, found.report.violation.law) == ("cell.py:NotFinite", "one-step")
    assert found.report.violation.difference == float("inf")
    assert str(Case.parse(found.report.violation.case)) == found.report.violation.case
