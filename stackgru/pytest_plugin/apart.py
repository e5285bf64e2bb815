"""A check in processes of its own: started, followed by what they write as they go, and ended.

Three levels: this process starts pytest, which starts xdist's workers, each of which runs the laws
in a child. What one loses, the one above reports. See engine/process.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackgru.outcomes import Violation
from stackgru.pytest_plugin.gathered import DIED, Gathered
from stackgru.report.law_result import LawResult
from stackgru.report.report import Report

#: Names the file to which the processes of a check append what they find, one JSON text per line.
EVENTS = "STACKGRU_EVENTS"
_POLL = 0.05
_TARGET = "target[{}]"  # there is one; see Gathered


def tell(kind: str, value: Any) -> None:
    """Append what was found for the process that follows, if there is one."""
    path = os.environ.get(EVENTS)
    if path:
        line = json.dumps([kind, value]).encode() + b"\n"
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line)  # in one piece, whoever else writes
        finally:
            os.close(file)


class RunApart:
    """One check in processes of its own.

    Args:
        arguments: of pytest.
        laws: names of the laws that are to run.
        seconds: time limit of the whole run; 0 for none.
        on_cpu: whether the target stays there; no process of the run then sees a GPU, as one that
            does cannot be forked.
        shown: whether pytest's own output is shown.
        progress: called with each law's result as it comes, and the number of laws.
        found: called with each violation that is not yet the smallest.
        done: called with the report when all laws are done, before "what is it?" is searched.

    Attributes:
        error: the type and message of what is wrong with target or options, if anything is.
        printed: what pytest printed, unless that is shown.
        status: pytest's exit status; None if it was ended from here.
        was_interrupted: whether Ctrl-C or SIGTERM ended the run.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        laws: Sequence[str],
        *,
        seconds: float = 0.0,
        on_cpu: bool = True,
        shown: bool = False,
        progress: Callable[[LawResult, int], None] | None = None,
        found: Callable[[Violation], None] | None = None,
        done: Callable[[Report], object] | None = None,
    ) -> None:
        self._arguments = arguments
        self._laws = list(laws)
        self._seconds = seconds
        self._on_cpu = on_cpu
        self._shown = shown
        self._progress = progress
        self._found = found
        self._done = done
        self._gathered = Gathered()
        self._finished: set[str] = set()
        self._violations: dict[str, Violation] = {}
        self._children: list[int] = []
        self._why_not = "pytest ended without its result"
        self._rest = b""
        self.error: tuple[str, str] | None = None
        self.printed = ""
        self.status: int | None = None
        self.was_interrupted = False

    def run(self) -> Report | None:
        """Run it; return the report, or None if nothing is known of the target."""
        folder = Path(tempfile.mkdtemp(prefix="stackgru-"))
        events, output = folder / "events", folder / "output"
        events.touch()
        try:
            with output.open("wb") as printed, events.open("rb") as lines:
                process = subprocess.Popen(  # noqa: S603 - what is run is pytest
                    [sys.executable, "-m", "pytest", *self._arguments],
                    env=_environment(events, on_cpu=self._on_cpu),
                    stdin=subprocess.DEVNULL,
                    stdout=None if self._shown else printed,
                    stderr=subprocess.STDOUT if not self._shown else None,
                    start_new_session=True,
                )
                try:
                    self._follow(process, lines)
                except KeyboardInterrupt:
                    self.was_interrupted = True
                    self._why_not = "interrupted"
                finally:
                    self._end(process)
                    self._read(lines)
            self.printed = output.read_text(errors="replace")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self._report()

    def _follow(self, process: subprocess.Popen[bytes], lines: Any) -> None:
        """Read what is written until pytest ends, or the time is over."""
        until = time.monotonic() + self._seconds if self._seconds else None
        is_told = False
        while process.poll() is None:
            if not self._read(lines):
                time.sleep(_POLL)
            if self._done and not is_told and self._finished >= set(self._laws):
                is_told = True
                report = self._report()
                assert report is not None  # noqa: S101 - every law has a result
                self._done(report)
            if self.status is not None:
                return
            if until is not None and time.monotonic() > until:
                self._why_not = f"the run's {self._seconds:g} s were over"
                return
        self.status = process.returncode
        if self.status < 0:
            self._why_not = f"pytest's process died ({signal.Signals(-self.status).name})"

    def _read(self, lines: Any) -> bool:
        """Take over what was written since; return whether there was anything."""
        *whole, self._rest = (self._rest + lines.read()).split(b"\n")
        for line in whole:
            kind, value = json.loads(line)
            getattr(self, f"_on_{kind}")(value)
        return bool(whole)

    def _on_report(self, data: dict[str, Any]) -> None:
        name = data["result"]["name"] if data["result"] else ""
        result = self._gathered.add(_TARGET.format(name), data)
        if result is not None:
            self._finish(result)

    def _on_died(self, name: str) -> None:
        if name in self._laws and name not in self._finished:
            place, found = _TARGET.format(name), self._violations.get(name)
            self._finish(self._gathered.add_unfinished(place, "crashed", DIED, found))

    def _on_found(self, value: Any) -> None:
        violation = Violation(**value)
        self._violations[violation.law] = violation
        if self._found:
            self._found(violation)

    def _on_laws(self, names: list[str]) -> None:
        # None are left if the target could not be loaded.
        self._laws = [name for name in self._laws if name in names] or self._laws

    def _on_end(self, status: int) -> None:
        self.status = status

    def _on_child(self, number: int) -> None:
        self._children.append(number)

    def _on_error(self, value: list[str]) -> None:
        self.error = value[0], value[1]

    def _on_diagnosis(self, data: dict[str, Any]) -> None:
        self._gathered.add_diagnoses({"target": data})

    def _finish(self, result: LawResult) -> None:
        self._finished.add(result.name)
        if self._progress:
            self._progress(result, len(self._laws))

    def _report(self) -> Report | None:
        """Return the report of what is known by now."""
        for name in self._laws:
            if name not in self._finished:
                found, reason = self._violations.get(name), self._why_not
                if found is not None:
                    reason = f"{reason}, so the case may not be the smallest"
                self._gathered.add_unfinished(_TARGET.format(name), "not run", reason, found)
        reports = self._gathered.reports()
        return reports[0] if reports else None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End pytest, its workers, and what targets have started."""
        for number in (process.pid, *self._children):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)
        process.wait()


def _environment(events: Path, *, on_cpu: bool) -> dict[str, str]:
    """Return the environment of a check."""
    path = os.pathsep.join(part for part in sys.path if part)
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""} if on_cpu else {}
    own = {"PYTHONPATH": path, EVENTS: str(events), **no_gpu}
    return {**without_pytests(os.environ), **own}


def without_pytests(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what it sets for pytest, and without pytest's other plugins."""
    own = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    kept = {name: value for name, value in variables.items() if name not in own}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
