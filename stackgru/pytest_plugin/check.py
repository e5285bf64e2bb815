"""check(): run the laws on a target, by pytest, and give a report."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackgru.engine.known import known_violations
from stackgru.laws.names import selected
from stackgru.options import (
    DEFAULT_TARGET,
    Options,
    StackgruError,
    UsageError,
    as_pairs,
    read_fields,
)
from stackgru.outcomes import Violation
from stackgru.pytest_plugin.apart import RunApart
from stackgru.report.law_result import LawResult
from stackgru.report.report import Report
from stackgru.targets.importing import check_spec

if TYPE_CHECKING:
    from stackgru.pytest_plugin.here import RunHere
    from stackgru.targets.convention import Convention


#: The plugins of a check; of an environment's others each may get in its way.
_PLUGINS = ("stackgru", "xdist", "xdist.looponfail", "hypothesispytest", "no:cacheprovider")


class CheckerFailed(StackgruError):
    """Pytest itself failed, so there is no verdict; the message holds what it printed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a check; ``report`` is what there is, or None."""

    def __init__(self, report: Report | None) -> None:
        super().__init__()
        self.report = report


def check(
    target: str | Callable[..., Any] | Convention = DEFAULT_TARGET,
    options: Options | None = None,
    *,
    n: int | str | None = None,
    pytest_args: Sequence[str] = (),
    progress: Callable[[LawResult, int], None] | None = None,
    found: Callable[[Violation], None] | None = None,
    done: Callable[[Report], object] | None = None,
    **fields: Any,
) -> Report:
    """Check whether a target is interchangeable with nn.GRU.

    The laws run in processes of their own, which a target may end; a class that no other process
    can import, such as one inside a function, is checked in this one.

    Args:
        target: ``module:attr``, ``path/file.py:attr``, or the class, factory or Convention itself.
        options: what the run is to do, as an Options.
        n: number of worker processes; as many as there are cores if None or "auto".
        pytest_args: further arguments for pytest, whose own output is then shown.
        progress: called with each law's result as it comes, and the number of laws.
        found: called with each violation that is found, before it is the smallest; only of a
            target that is checked in processes of its own.
        done: called with the report once all laws are done, before "what is it?" is searched.
        **fields: fields of Options, which win over options: laws, skip, strict, known, kind,
            arguments, state, returns, time_axis, device, max_examples, profile ("default" if
            omitted), dtypes, seed (chosen if omitted, and shown in the report), timeout, seconds,
            memory, shrink, report, shrink_seconds.

    Returns:
        The report.

    Raises:
        TargetError: if the target cannot be imported, built or called.
        UsageError: if there is no such option, or its value is wrong.
        CheckerFailed: if pytest itself failed.
        Interrupted: if Ctrl-C or SIGTERM ended it; a KeyboardInterrupt with a report.
    """
    options = _complete(read_fields(fields, options))
    laws = selected(options)
    workers = min(_number_of_workers(n), len(laws))
    name = _importable_name(target)
    shown = bool(pytest_args)
    run: RunApart | RunHere
    if name is None:
        from stackgru.pytest_plugin.here import RunHere

        if n not in (None, 0, "0"):
            raise UsageError(
                "worker processes need a target by name, module:attr or path/file.py:attr."
            )
        arguments = [*_arguments("object", options), *pytest_args]
        run = RunHere(target, options, arguments, len(laws), shown=shown, progress=progress)
    else:
        check_spec(name)
        arguments = [*_arguments(name, options), *_with_workers(workers), *pytest_args]
        run = RunApart(
            arguments,
            laws,
            seconds=options.seconds,
            on_cpu=options.device == "cpu",
            shown=shown,
            progress=progress,
            found=found,
            done=done,
        )
    report = run.run()
    if run.was_interrupted:
        raise Interrupted(report)
    if run.error is not None:
        _raise(*run.error)
    if report is None and run.status is None:
        raise UsageError(f"--seconds {options.seconds:g} is over before the target is loaded.")
    return _checked(report, run.status, pytest_args, run.printed)


def _number_of_workers(n: int | str | None) -> int:
    if n in (None, "auto"):
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if not str(n).isdigit():
        raise UsageError(f"n must be a whole number or 'auto', got {n!r}.")
    return max(1, int(str(n)))


def _importable_name(target: Any) -> str | None:
    """Return the name by which another process can import a target, or None."""
    if isinstance(target, str):
        return target
    module, name = getattr(target, "__module__", "__main__"), getattr(target, "__qualname__", "")
    if not isinstance(target, type) and not hasattr(target, "__code__"):
        return None
    found: Any = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    for part in name.split("."):
        found = getattr(found, part, None)
    path: Any = None
    origin = None
    for end in range(len(module.split("."))):
        spec = PathFinder.find_spec(".".join(module.split(".")[: end + 1]), path)
        if spec is None:
            return None
        path, origin = spec.submodule_search_locations, spec.origin
    return f"{module}:{name}" if found is target and origin == file else None


def _raise(kind: str, message: str) -> None:
    from stackgru.targets import importing

    raise UsageError(message) if kind == "UsageError" else importing.TargetError(message)


def _checked(
    report: Report | None, status: int | None, pytest_args: Sequence[str], printed: str
) -> Report:
    """Return the report, or raise what is wrong if there is none."""
    ok, usage_error, no_tests = 0, 4, 5  # of pytest
    if status == usage_error and pytest_args:
        raise UsageError("pytest does not take the arguments after --.")
    if report is None:
        if status in (ok, no_tests) and pytest_args:
            raise UsageError("pytest's arguments left no law to run.")
        raise CheckerFailed(f"pytest ended with status {status}:\n{printed}")
    return report


def _complete(given: dict[str, Any]) -> Options:
    """Return the options of a check, with a profile, a seed, and known violations read."""
    given = {"profile": "default", **given}
    if "seed" not in given:
        is_fixed = given["profile"] == "ci"
        given["seed"] = 0 if is_fixed else random.SystemRandom().randrange(2**32)
    if "known" in given:
        given["known"] = known_violations(given["known"], Path.cwd())
    return Options(**given)


def _with_workers(number: int) -> list[str]:
    """Return the arguments of pytest for workers that are replaced as often as they die."""
    return ["-n", str(number), "--max-worker-restart=1000000", "--maxschedchunk=1"]


def _arguments(target: str, options: Options) -> list[str]:
    """Return the arguments of pytest that run the suite with these options and no others."""
    pairs = [f"target={target}", "report=", *as_pairs(options)]
    return [
        # Only stackgru's own settings count, not those of the folder it is called from.
        *("-c", os.devnull, f"--rootdir={Path.cwd()}", "--noconftest"),
        *(word for name in _PLUGINS for word in ("-p", name)),
        "--import-mode=importlib",
        # This package is imported before pytest is; its asserts need no rewriting.
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        str(Path(__file__).with_name("suite.py")),
        *(f"--stackgru={pair}" for pair in pairs),
    ]
