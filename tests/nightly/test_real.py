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

PAGES = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
#: Each check in a block of its own, with what is shown below it.
SHOWN = dict(
    re.findall(
        r"```sh\n(stackgru check [^\n]*)\n```(?:[^`]*```text\n(.*?)```)?", PAGES, flags=re.DOTALL
    )
)


def check(target, *options):
    """Run a check and return the finished process."""
    package = re.split("[.:]", target)[0]
    if "/" not in target and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    words = [sys.executable, "-m", "stackgru", "check", target, *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", SHOWN)
def test_what_is_shown_is_printed(command):
    process = check(*shlex.split(command)[2:])
    assert process.returncode == ("is not interchangeable" in SHOWN[command]), process.stderr
    printed = iter(process.stdout.splitlines())
    for line in SHOWN[command].splitlines():
        assert line in ("...", "") or line in printed, line


@pytest.mark.parametrize(
    ("target", "strict", "status", "no"),
    [
        ("stackgru:StackingGRUCell", True, 0, set()),
        ("torch.nn:GRU", True, 0, set()),
        ("torchrl.modules:GRU", False, 1, {"same_seeds_whole_sequences", "safe_conduct"}),
        ("torchrl.modules:GRU", True, 1, {"same_seeds_whole_sequences"}),
        ("opacus.layers:DPGRU", False, 1, {"same_training"}),
    ],
)
def test_a_verdict(target, strict, status, no, tmp_path):
    path = tmp_path / "report.json"
    process = check(target, "--seed", "1", "--json", str(path), *["--strict"] * strict)
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
