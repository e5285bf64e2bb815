"""Running scripts in processes of their own, and replaying saved bug reports."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stackgru.repro.store import SCRIPT, BrokenBugReport, BugReport, folders, read

#: The last line that a script prints; a script that raises prints neither.
DIFFER, AGREE = "They differ.", "They agree."
STATUSES = ("still there", "flaky", "broken", "fixed")
_TIMES = 3
_TIMEOUT = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a script did.

    Attributes:
        status: 1 if it shows that the two differ, as it also does if a signal ends it; 0 if they
            agree; None if it shows neither.
        printed: what it printed.
        error: the last line of what it raised, or why it was stopped.
    """

    status: int | None
    printed: str
    error: str = ""


@dataclass(frozen=True)
class Replayed:
    """What became of a saved bug report.

    Attributes:
        folder: its folder.
        status: one of STATUSES.
        reason: why, if that is not obvious.
        report: the bug report, if it can be read.
    """

    folder: Path
    status: str
    reason: str = ""
    report: BugReport | None = None


def run_script(path: str | Path, timeout: float = _TIMEOUT, *, may_end: bool = False) -> Outcome:
    """Run a script in a clean process, isolated, in an empty folder.

    Args:
        path: the script.
        timeout: seconds after which it is stopped.
        may_end: whether ending without a word shows the violation, too.
    """
    with tempfile.TemporaryDirectory() as empty:
        try:
            process = subprocess.run(  # noqa: S603 - a script that stackgru wrote
                [sys.executable, "-I", "-W", "ignore", str(Path(path).resolve())],
                cwd=empty,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, "", f"it exceeded the {timeout:g} s limit")
    last = process.stdout.splitlines()[-1:]
    status = process.returncode
    if status < 0:
        how = f"The process died ({signal.Signals(-status).name})."
        return Outcome(1, f"{process.stdout}{how}\n")
    if may_end and not process.stderr.strip() and last not in ([AGREE], [DIFFER]):
        return Outcome(1, f"{process.stdout}The process ended with status {status}.\n")
    if last != [{0: AGREE, 1: DIFFER}.get(status)]:
        lines = process.stderr.strip().splitlines() or [f"status {status}"]
        return Outcome(None, process.stdout, lines[-1])
    return Outcome(status, process.stdout)


def replay(folder: str | Path, times: int = _TIMES) -> list[Replayed]:
    """Run every bug report saved in a folder, or the one whose folder it is, so many times.

    Raises:
        OSError: if there is no such folder.
    """
    path = Path(folder)
    own = [path] if (path / SCRIPT).is_file() else folders(path)
    return [_replayed(one, times) for one in own]


def _replayed(folder: Path, times: int) -> Replayed:
    try:
        report = read(folder)
    except BrokenBugReport as error:
        return Replayed(folder, "broken", str(error))
    script = folder / SCRIPT
    if not script.is_file():
        return Replayed(folder, "broken", f"{SCRIPT} is missing", report)
    seen = []
    for _ in range(times):
        outcome = run_script(script, may_end=report.violation.ended_the_process)
        if outcome.status is None:
            return Replayed(folder, "broken", f"the script ended with {outcome.error}", report)
        seen.append(outcome.status)
    differed = sum(seen)
    if differed == times:
        return Replayed(folder, "still there", "", report)
    if differed:
        return Replayed(folder, "flaky", f"{differed} of {times} runs differed", report)
    if report.violation.problem:
        return Replayed(
            folder, "broken", f"it never showed the violation: {report.violation.problem}", report
        )
    return Replayed(folder, "fixed", "", report)
