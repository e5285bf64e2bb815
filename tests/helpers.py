"""Helpers that tests of several rooms share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stackgru.cases.case import Case
from stackgru.cli.main import cli
from stackgru.engine.run import collect_runs
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.target import load

ROOT = Path(__file__).parents[1]
HANDWRITTEN = ROOT / "examples" / "handwritten.py"

#: Two cases of three layers: one in eval, one that drops units out.
EVAL = Case(2, 3, 3, 2)
DROPS = Case(2, 3, 3, 2, 2, dropout=0.5, mode="train")


def stackgru(*arguments, cwd, **environment):
    """Run the command line in a process of its own and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "stackgru", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def invoke(*arguments):
    """Run the command line in this process and return click's result."""
    return CliRunner().invoke(cli, list(map(str, arguments)))


def last_line(process):
    """Return the last line that a process printed."""
    return process.stdout.splitlines()[-1]


def law_run(target, law, **options):
    """Return the run of one law on a target, ready to run."""
    return collect_runs(target, Options(laws=(law,), **options))[0]


def check_law(law, target, case=None, *, strict=False):
    """Check one law of a target on one case, `Case()` if omitted."""
    all_laws()[law].check(Pair(load(target), case or Case(), strict=strict))


def caught_but_not(right, *rows):
    """Return a test: a law catches a fault with this message, and not the right class."""

    @pytest.mark.parametrize(("law", "fault", "case", "message"), rows)
    def test(law, fault, case, message):
        with pytest.raises(Violated, match=message):
            check_law(law, fault, case)
        check_law(law, right, case)

    return test
