"""Helpers that tests of several rooms share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from stackgru.cases.case import Case
from stackgru.cli.main import cli
from stackgru.engine.collect import collect_runs
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


def refused(law, target, case=None):
    """Check one law of a target on one case; return what the target refuses in it."""
    pair = Pair(load(target), case or Case())
    all_laws()[law].check(pair)
    return pair.refused


def caught_but_not(right, *rows):
    """Return a test: a law catches a fault with this message, and not the right class."""

    @pytest.mark.parametrize(("law", "fault", "case", "message"), rows)
    def test(law, fault, case, message):
        with pytest.raises(Violated, match=message):
            check_law(law, fault, case)
        check_law(law, right, case)

    return test


def start_check(*arguments, cwd, mark="", stderr=subprocess.PIPE):
    """Start the command in a session of its own; what it starts can be found by the mark."""
    words = [sys.executable, "-m", "stackgru", "check", *map(str, arguments)]
    return subprocess.Popen(
        words,
        cwd=cwd,
        env={
            **os.environ,
            "STACKGRU_MARK": mark,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        # What is started in the background of a script ignores Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def started_with(mark):
    """Return number and command of the processes that have a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"STACKGRU_MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append((int(folder.name), (folder / "cmdline").read_bytes()))
    return found


def left_running(mark):
    """Return the commands of processes that have a mark and do not end within two seconds."""
    until = time.monotonic() + 2
    while started_with(mark) and time.monotonic() < until:
        time.sleep(0.05)
    return [command for _, command in started_with(mark)]


def checked_apart(target, tmp_path, *options):
    """Check a target; return status, report and seconds. Nothing may be left running."""
    mark, report = uuid.uuid4().hex, tmp_path / "report.json"
    started = time.monotonic()
    few = ("--max-examples", 3, "--timeout", 2, "--memory", 1, "--seed", 2, "--json", report)
    process = start_check(target, *few, *options, cwd=tmp_path, mark=mark)
    output, errors = process.communicate(timeout=240)
    assert not left_running(mark)
    assert "Traceback" not in output + errors
    data = json.loads(report.read_text()) if report.exists() else None
    return process.returncode, data, time.monotonic() - started, errors
