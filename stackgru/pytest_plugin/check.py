"""check(): run the laws on a target, by pytest, and give a report."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stackgru.engine.known import read_known
from stackgru.engine.select import select
from stackgru.options import (
    DEFAULT_SHRINK_SECONDS,
    DEFAULT_TIMEOUT,
    PROFILES,
    Options,
    UsageError,
)
from stackgru.pytest_plugin import suite
from stackgru.pytest_plugin.plugin import Collector
from stackgru.report.report import LawResult, Report
from stackgru.targets.convention import Convention
from stackgru.targets.target import load

DEFAULT_TARGET = "stackgru:StackingGRUCell"


class CheckerFailed(Exception):
    """Pytest itself failed, so there is no verdict; the message holds what it printed."""


def check(
    target: str | Callable[..., Any] | Convention = DEFAULT_TARGET,
    *,
    kind: str | None = None,
    laws: Sequence[str] = (),
    skip: Sequence[str] = (),
    max_examples: int | None = None,
    seed: int | None = None,
    profile: str = "default",
    dtypes: Sequence[str] = (),
    device: str = "cpu",
    strict: bool = False,
    n: int | str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    arguments: Sequence[str] | None = None,
    state: str | None = None,
    returns: str | None = None,
    time_axis: bool = False,
    report: str | Path | None = None,
    shrink_seconds: float = DEFAULT_SHRINK_SECONDS,
    known: str | Path | None = None,
    pytest_args: Sequence[str] = (),
    progress: Callable[[LawResult, int], None] | None = None,
) -> Report:
    """Check whether a target is interchangeable with nn.GRU.

    Args:
        target: ``module:attr``, ``path/file.py:attr``, or the class, factory or Convention itself.
        kind: "cell" or "sequence"; found by calling it if None.
        laws: patterns of law names to run; all if empty.
        skip: patterns of law names to leave out.
        max_examples: examples a law; the profile's if None.
        seed: what the search starts from; chosen, and told in the report, if None.
        profile: "quick", "default", "thorough" or "ci".
        dtypes: names of dtypes to draw from; all that the build supports if empty.
        device: where everything is built.
        strict: count as violations what otherwise is an answer only.
        n: worker processes, or "auto"; a target given as an object stays in this process.
        timeout: seconds a law may take.
        arguments: the constructor's arguments by position; see Convention for these four, by which
            the convention of a target is told that is no Convention itself.
        state: how the state goes in and comes out.
        returns: what a call gives.
        time_axis: whether a cell takes a time axis of one step.
        report: a folder where violations are saved, each with a script that shows it.
        shrink_seconds: longest time of making a violation's numbers plain, for its script.
        known: a file of violations that are known, a line ``law: reason`` for each.
        pytest_args: further arguments for pytest, whose own output is then shown.
        progress: called with each law's result as it comes, and the number of laws.

    Returns:
        The report.

    Raises:
        TargetError: if the target cannot be imported, built or called.
        UsageError: if an option does not fit.
        CheckerFailed: if pytest itself failed.
    """
    options = Options(
        kind=kind,
        laws=tuple(laws),
        skip=tuple(skip),
        max_examples=max_examples,
        profile=profile,
        dtypes=tuple(dtypes),
        device=device,
        strict=strict,
        timeout=timeout,
        arguments=tuple(arguments) if arguments else None,
        state=state,
        returns=returns,
        time_axis=time_axis,
        report=None if report is None else str(Path(report).absolute()),
        shrink_seconds=shrink_seconds,
        known=() if known is None else read_known(known),
    )
    _validate(options)
    chosen = select(options)
    # One clear error before any worker starts.
    loaded = load(target, kind=kind, device=device, fields=options.convention)
    if n and not isinstance(target, str):
        raise UsageError(
            "worker processes need a target by name, module:attr or path/file.py:attr."
        )
    if seed is None:
        seed = 0 if profile == "ci" else random.SystemRandom().randrange(2**32)
    runner = _Runner(target, len(chosen), progress)
    arguments = _pytest_arguments(loaded.name, options, seed, n)
    if known is not None:
        arguments.append(f"--stackgru-known={Path(known).absolute()}")
    shown = io.StringIO()
    with contextlib.redirect_stdout(sys.stdout if pytest_args else shown):
        status = pytest.main([*arguments, *pytest_args], plugins=[runner])
    if status == pytest.ExitCode.INTERRUPTED and not any(r.violations for r in runner.reports):
        raise KeyboardInterrupt
    if status == pytest.ExitCode.USAGE_ERROR and pytest_args:
        raise UsageError("pytest does not take the arguments after --.")
    if not runner.reports:
        if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and pytest_args:
            raise UsageError("pytest's arguments left no law to run.")
        raise CheckerFailed(f"pytest ended with status {int(status)}:\n{shown.getvalue()}")
    return runner.reports[0]


def _validate(options: Options) -> None:
    from stackgru.cases.case import DTYPES

    if options.profile not in PROFILES:
        raise UsageError(f"profile must be one of {', '.join(PROFILES)}, got {options.profile!r}.")
    if options.max_examples is not None and options.max_examples < 1:
        raise UsageError(f"max_examples must be at least 1, got {options.max_examples}.")
    for name in options.dtypes:
        if name not in DTYPES:
            raise UsageError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}.")


def _pytest_arguments(target: str, options: Options, seed: int, n: int | str | None) -> list[str]:
    arguments = [
        # Only stackgru's own settings count: not those of the folder it is called from.
        *("-c", os.devnull, f"--rootdir={Path.cwd()}", "--noconftest"),
        *("-p", "stackgru", "-p", "no:cacheprovider", "--import-mode=importlib"),
        # This package is imported before pytest is: its asserts need no rewriting.
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        str(Path(suite.__file__)),
        f"--stackgru-target={target}",
        f"--stackgru-seed={seed}",
        f"--stackgru-profile={options.profile}",
        f"--stackgru-device={options.device}",
        f"--stackgru-timeout={options.timeout}",
        f"--stackgru-report={options.report or ''}",
        f"--stackgru-shrink-seconds={options.shrink_seconds}",
        *(f"--stackgru-laws={pattern}" for pattern in options.laws),
        *(f"--stackgru-skip={pattern}" for pattern in options.skip),
        *(f"--stackgru-dtype={dtype}" for dtype in options.dtypes),
    ]
    if options.kind:
        arguments.append(f"--stackgru-kind={options.kind}")
    if options.max_examples is not None:
        arguments.append(f"--stackgru-max-examples={options.max_examples}")
    if options.strict:
        arguments.append("--stackgru-strict")
    if options.arguments:
        arguments.append(f"--stackgru-arguments={','.join(options.arguments)}")
    if options.state:
        arguments.append(f"--stackgru-state={options.state}")
    if options.returns:
        arguments.append(f"--stackgru-returns={options.returns}")
    if options.time_axis:
        arguments.append("--stackgru-time-axis")
    if n:
        arguments += ["-n", str(n)]
    return arguments


class _Runner:
    """A plugin of one run: hands over a target that is an object, and takes the reports back."""

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

    def pytest_configure(self, config: pytest.Config) -> None:
        """Put the object itself in place of its name."""
        if not isinstance(self._target, str):
            config.option.stackgru_target = self._target

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
