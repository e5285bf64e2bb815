"""check(): run the laws on a target, by pytest, and give a report."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stackgru.engine.known import known_violations
from stackgru.engine.select import select
from stackgru.options import (
    DEFAULT_TARGET,
    Options,
    StackgruError,
    UsageError,
    as_pairs,
    read_fields,
)
from stackgru.pytest_plugin import suite
from stackgru.pytest_plugin.plugin import TARGET, Collector
from stackgru.report.report import LawResult, Report
from stackgru.targets.convention import Convention
from stackgru.targets.target import load


class CheckerFailed(StackgruError):
    """Pytest itself failed, so there is no verdict; the message holds what it printed."""


def check(
    target: str | Callable[..., Any] | Convention = DEFAULT_TARGET,
    options: Options | None = None,
    *,
    n: int | str | None = None,
    pytest_args: Sequence[str] = (),
    progress: Callable[[LawResult, int], None] | None = None,
    **fields: Any,
) -> Report:
    """Check whether a target is interchangeable with nn.GRU.

    Args:
        target: ``module:attr``, ``path/file.py:attr``, or the class, factory or Convention itself.
        options: what the run is to do, as an Options.
        n: number of worker processes, or "auto"; a target that is an object stays in this process.
        pytest_args: further arguments for pytest, whose own output is then shown.
        progress: called with each law's result as it comes, and the number of laws.
        **fields: fields of Options, which win over options: laws, skip, strict, known, kind,
            arguments, state, returns, time_axis, device, max_examples, profile ("default" if
            omitted), dtypes, seed (chosen if omitted, and shown in the report), timeout, shrink,
            report, shrink_seconds.

    Returns:
        The report.

    Raises:
        TargetError: if the target cannot be imported, built or called.
        UsageError: if there is no such option, or its value is wrong.
        CheckerFailed: if pytest itself failed.
    """
    options = _complete(read_fields(fields, options))
    n = None if n in (None, 0, "0") else str(n)
    if n not in (None, "auto") and not n.isdigit():
        raise UsageError(f"n must be a whole number or 'auto', got {n!r}.")
    chosen = select(options)
    # One clear error before any worker starts.
    loaded = load(target, kind=options.kind, device=options.device, fields=options.convention)
    if n and not isinstance(target, str):
        raise UsageError(
            "worker processes need a target by name, module:attr or path/file.py:attr."
        )
    runner = _Runner(target, len(chosen), progress)
    arguments = [*_arguments(loaded.name, options), *(("-n", n) if n else ()), *pytest_args]
    shown = io.StringIO()
    with (
        _without_pytests_variables(),
        contextlib.redirect_stdout(sys.stdout if pytest_args else shown),
    ):
        status = _run_pytest(arguments, runner)
    if status == pytest.ExitCode.INTERRUPTED and not any(r.violations for r in runner.reports):
        raise KeyboardInterrupt
    if status == pytest.ExitCode.USAGE_ERROR and pytest_args:
        raise UsageError("pytest does not take the arguments after --.")
    if not runner.reports:
        if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and pytest_args:
            raise UsageError("pytest's arguments left no law to run.")
        raise CheckerFailed(f"pytest ended with status {int(status)}:\n{shown.getvalue()}")
    return runner.reports[0]


def _complete(given: dict[str, Any]) -> Options:
    """Return the options of a check, with a profile, a seed, and known violations read."""
    given = {"profile": "default", **given}
    if "seed" not in given:
        is_fixed = given["profile"] == "ci"
        given["seed"] = 0 if is_fixed else random.SystemRandom().randrange(2**32)
    if "known" in given:
        given["known"] = known_violations(given["known"], Path.cwd())
    return Options(**given)


def _arguments(target: str, options: Options) -> list[str]:
    """Return the arguments of pytest that run the suite with these options and no others."""
    pairs = [f"target={target}", "report=", *as_pairs(options)]
    return [
        # Only stackgru's own settings count, not those of the folder it is called from.
        *("-c", os.devnull, f"--rootdir={Path.cwd()}", "--noconftest"),
        *("-p", "stackgru", "-p", "no:cacheprovider", "--import-mode=importlib"),
        # This package is imported before pytest is; its asserts need no rewriting.
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        str(Path(suite.__file__)),
        *(f"--stackgru={pair}" for pair in pairs),
    ]


def _run_pytest(arguments: list[str], runner: _Runner) -> int:
    """Run pytest; an interruption that it fails to show is one all the same.

    It shows the line that was interrupted, and Python 3.11 gives none for some instructions.
    """
    try:
        return pytest.main(arguments, plugins=[runner])
    except Exception:
        if not runner.is_interrupted:
            raise
        return pytest.ExitCode.INTERRUPTED


@contextlib.contextmanager
def _without_pytests_variables() -> Iterator[None]:
    """Remove what the environment sets for pytest, also for the worker processes."""
    names = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


class _Runner:
    """A plugin of one run: passes a target that is an object in, and takes the reports out."""

    def __init__(
        self,
        target: str | Callable[..., Any] | Convention,
        total: int,
        progress: Callable[[LawResult, int], None] | None,
    ) -> None:
        self._target = target
        self._total = total
        self._progress = progress
        self.reports: list[Report] = []
        self.is_interrupted = False

    def pytest_configure(self, config: pytest.Config) -> None:
        """Put the object itself in place of its name."""
        if not isinstance(self._target, str):
            config.stash[TARGET] = self._target

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Note that the run was interrupted."""
        self.is_interrupted = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass a law's result on as it comes."""
        data = getattr(report, "stackgru", None)
        if data and data["result"] and self._progress:
            self._progress(LawResult.from_dict(data["result"]), self._total)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Keep the reports."""
        collector = config.pluginmanager.get_plugin("stackgru-collector")
        if isinstance(collector, Collector):
            self.reports = collector.reports()
