"""Real implementations, and every check that README and docs show, in full."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest

from examples.implementations import IMPLEMENTATIONS
from examples.implementations.table import checked, row
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
#: Each command in a block of its own, and the block of text that follows it, if one does.
SHOWN = {
    command: text
    for page in PAGES
    for command, text in re.findall(
        r"```(?:sh|console)\n\$? ?(stackgru check[^\n]*)\n```(?:\s*```text\n(.*?)```)?",
        page.read_text(),
        flags=re.DOTALL,
    )
    if "--report" not in command
}


def run(command):
    """Run a check; its target is the first word that names one."""
    target = command[1].partition(":")[0]
    if (
        "/" not in target
        and not target.startswith("-")
        and find_spec(target.partition(".")[0]) is None
    ):
        pytest.skip(f"{target.partition('.')[0]} is not installed")
    words = [sys.executable, "-m", "stackgru", *command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", SHOWN)
def test_what_is_shown_is_printed(command):
    process = run(shlex.split(command)[1:])
    assert process.returncode in (0, 1), process.stderr
    printed = iter(process.stdout.splitlines())
    for line in SHOWN[command].splitlines():
        assert line in ("...", "") or line in printed, line


@pytest.mark.parametrize(
    ("target", "strict", "status", "no"),
    [
        ("stackgru:StackingGRUCell", True, 0, set()),
        ("torch.nn:GRU", True, 0, set()),
        ("torchrl.modules:GRU", False, 0, {"same_seeds_whole_sequences"}),
        ("torchrl.modules:GRU", True, 1, {"same_seeds_whole_sequences"}),
        ("opacus.layers:DPGRU", False, 1, {"same_training"}),
    ],
)
def test_a_verdict(target, strict, status, no, tmp_path):
    path = tmp_path / "report.json"
    words = ["check", target, "--seed", "1", "--json", str(path), *["--strict"] * strict]
    process = run(words)
    assert process.returncode == status, process.stdout + process.stderr
    verdict = json.loads(path.read_text())["verdict"]
    assert no <= {name for name, answer in verdict.items() if answer == "no"}
    assert verdict["same_values"] == "yes"


@pytest.mark.parametrize("one", IMPLEMENTATIONS, ids=lambda one: one.name)
def test_an_implementation_has_its_row(one, record_property):
    outcome = checked(one, max_examples=30, limit=1800)
    if outcome.version is None:
        pytest.skip(outcome.reason)
    assert outcome.report is not None, outcome.reason
    record_property("row", row(outcome))
