"""The table of real implementations: its rows come from the checker, and nothing is left out."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from examples.implementations import IMPLEMENTATIONS
from examples.implementations.__main__ import main
from examples.implementations.base import Implementation
from examples.implementations.table import HEAD, Outcome, checked, missing, row
from stackgru.cases.case import Case

ROOT = Path(__file__).parents[2]
BY_NAME = {one.name: one for one in IMPLEMENTATIONS}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.nightly
@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "law", "shown"),
    [
        ("opacus.DPGRU", "one-step", "`one-step`: `"),
        ("torchrl.GRUCell", "equation", "none: "),
    ],
)
def test_a_row_is_what_the_checker_found(name, law, shown):
    one = BY_NAME[name]
    pytest.importorskip(one.distribution, reason=f"{one.distribution} is not installed")
    outcome = checked(one, max_examples=5, laws=[law])
    assert outcome.report, outcome.reason
    assert outcome.report["seed"] == 1
    found = cells(row(outcome))
    assert len(found) == len(cells(HEAD.splitlines()[0]))
    assert found[:2] == [
        f"{one.distribution} {metadata.version(one.distribution)} `{name}`",
        one.says,
    ]
    assert found[-1].startswith(shown)
    if shown.startswith("`"):
        case = Case.parse(found[-1].split("`")[-2])
        assert case.dropout


def test_names_are_unique():
    assert len(BY_NAME) == len(IMPLEMENTATIONS)


def test_what_they_say_is_short():
    assert all(0 < len(one.says.split()) <= 8 for one in IMPLEMENTATIONS)


def test_requirements_name_every_package():
    files = [ROOT / "examples" / name for name in ("implementations.txt", "foreign.txt")]
    lines = [line for file in files for line in file.read_text().splitlines()]
    pinned = {line.partition("==")[0] for line in lines if "==" in line and line[0] != "#"}
    assert {one.distribution for one in IMPLEMENTATIONS} <= pinned


def test_what_is_not_installed_is_said():
    absent = Implementation("nowhere.GRU", "no-such-distribution", "nothing", lambda: None)
    outcome = checked(absent, max_examples=1)
    assert outcome == Outcome(absent, reason="no-such-distribution is not installed")
    assert missing([outcome]) == ["- `nowhere.GRU`: no-such-distribution is not installed"]


def test_a_process_that_fails_is_said():
    # The package is there, but the process that checks knows no such name.
    unknown = Implementation("nowhere.GRU", "torch", "nothing", lambda: None)
    outcome = checked(unknown, max_examples=1)
    assert outcome.report is None
    assert outcome.reason.startswith("its process ended with status 1")


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--only", "opacus.LSTM"])
    assert raised.value.code == 2
    assert "no implementation is called 'opacus.LSTM'" in capsys.readouterr().err


def test_the_list_is_printed(capsys):
    assert main(["--list", "--only", "torchrl.*"]) == 0
    assert capsys.readouterr().out.split() == ["torchrl.GRU", "torchrl.GRUCell"]


def test_help_holds_an_example(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    example = capsys.readouterr().out.split("example:")[1].strip()
    assert example.startswith("python -m examples.implementations --only 'opacus.*'")
