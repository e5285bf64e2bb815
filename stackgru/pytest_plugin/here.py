"""A check in this process, of an object that no other process can import."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from stackgru.options import Options
from stackgru.pytest_plugin.apart import without_pytests
from stackgru.pytest_plugin.plugin import TARGET, Collector
from stackgru.report.law_result import LawResult
from stackgru.report.report import Report
from stackgru.targets.target import load


class RunHere:
    """One check in this process; a plugin of its pytest, too.

    Args:
        target: the class, factory or Convention.
        options: what the run is to do.
        arguments: of pytest.
        total: number of the laws.
        shown: whether pytest's own output is shown.
        progress: called with each law's result as it comes, and the number of laws.

    Attributes:
        printed: what pytest printed, unless that is shown.
        status: pytest's exit status.
        was_interrupted: whether Ctrl-C ended the run.
    """

    error = None

    def __init__(
        self,
        target: Any,
        options: Options,
        arguments: Sequence[str],
        total: int,
        *,
        shown: bool = False,
        progress: Callable[[LawResult, int], None] | None = None,
    ) -> None:
        self._target = target
        self._options = options
        self._arguments = list(arguments)
        self._total = total
        self._shown = shown
        self._progress = progress
        self._report: Report | None = None
        self.printed = ""
        self.status: int | None = None
        self.was_interrupted = False

    def run(self) -> Report | None:
        """Run it; return the report, or None if there is no result."""
        options = self._options
        # One clear error before pytest starts.
        load(
            self._target,
            kind=options.kind,
            device=options.device,
            fields=options.convention,
            dtypes=options.dtypes,
        )
        output = io.StringIO()
        with (
            _without_pytests_variables(),
            contextlib.redirect_stdout(sys.stdout if self._shown else output),
        ):
            try:
                self.status = int(pytest.main(self._arguments, plugins=[self]))
                self.was_interrupted |= self.status == pytest.ExitCode.INTERRUPTED
            except Exception:
                # Pytest shows the line that was interrupted; Python 3.11 gives none for some.
                if not self.was_interrupted:
                    raise
        self.printed = output.getvalue()
        return self._report

    def pytest_configure(self, config: pytest.Config) -> None:
        """Put the object itself in place of its name."""
        config.stash[TARGET] = self._target

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Note that the run was interrupted."""
        self.was_interrupted = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass a law's result on as it comes."""
        data = getattr(report, "stackgru", None)
        if data and data["result"] and self._progress:
            self._progress(LawResult.from_dict(data["result"]), self._total)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Keep the report."""
        collector = config.pluginmanager.get_plugin("stackgru-collector")
        if isinstance(collector, Collector):
            self._report = next(iter(collector.reports()), None)


@contextlib.contextmanager
def _without_pytests_variables() -> Iterator[None]:
    """Take what the environment sets for pytest away; see without_pytests."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_pytests(before))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
