"""The laws in a child process, which alone imports, builds and calls the target.

If the child dies, the law is violated by the case that it was trying. That case is then shrunk,
each example in a process of its own.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis.statistics import collector, describe_statistics

from stackgru.engine.collect import collect_runs, run_id
from stackgru.engine.isolate import GRACE, Child, Ended, Note, call_apart
from stackgru.engine.run import LawRun
from stackgru.engine.select import select
from stackgru.options import Options, UsageError
from stackgru.outcomes import Violated, Violation
from stackgru.report.law_result import LawResult
from stackgru.targets.convention import Convention
from stackgru.targets.importing import TargetError
from stackgru.targets.target import name_of

#: Seconds that torch may take to load what a law needs.
_PREPARING = 120.0
_ERRORS = {"TargetError": TargetError, "UsageError": UsageError}


@dataclass(frozen=True)
class Loaded:
    """What this process knows of a target that its child has loaded; see Target."""

    name: str
    kind: str
    cli_options: tuple[str, ...] | None
    limits: Mapping[str, str]
    unseen: tuple[str, ...]
    layers: int | None
    rate: float | None
    found: str | None


class Process:
    """A child of this process in which a target lives.

    Args:
        spec: ``module:attr``, ``path/file.py:attr``, or the class, factory or Convention itself.
        options: what the run is to do.
        note: where the child writes what it tries.
        found: called with each violation as it is found, which may not be the smallest.
        started: called with the number of each process group that a child leads.
        **helpers: functions of a run, and of what can be pickled, that call may run there.

    Raises:
        TargetError: if the target cannot be imported, built or called, or that ends the child.
    """

    def __init__(
        self,
        spec: str | Callable[..., Any] | Convention,
        options: Options,
        note: Note,
        found: Callable[[Violation], None] = lambda violation: None,
        started: Callable[[int], None] | None = None,
        **helpers: Callable[..., Any],
    ) -> None:
        self._spec = spec
        self._options = options
        self._note = note
        self._found = found
        self._limit = options.timeout + GRACE if options.timeout else 0.0
        own = {"attempt": _attempt, "one_by_one": _one_by_one, "diagnosis": LawRun.diagnosis}
        self._helpers = {**own, **helpers}
        self._child = Child(self._serve, memory=int(options.memory * 2**30), started=started)
        self._is_loaded = False
        self._prepared: set[Callable[[], object]] = set()
        self._there: list[LawRun] = []  # in the child only
        self._diagnosis: dict[str, Any] | None = None  # of this child or one before it
        loaded: Any = self._load()
        self.runs = [LawRun(loaded, law, options) for law in (*select(options), None)]
        for run in self.runs:
            run.elsewhere = self

    def call(
        self,
        name: str,
        run: LawRun,
        *arguments: Any,
        seconds: float | None = None,
        heard: Callable[[Any], float | None] | None = None,
    ) -> Any:
        """Return what a helper returns in the child, or an Ended."""
        try:
            if not self._is_loaded:
                self._load()
        except TargetError as error:  # though it could be loaded before
            return Ended(f"could not load the target again: {error}")
        seconds = self._limit if seconds is None else seconds
        request = (name, self.runs.index(run), arguments)
        answer = self._child.ask(request, seconds=seconds, heard=heard)
        self._is_loaded = not isinstance(answer, Ended)
        return answer

    def attempt(self, run: LawRun) -> BaseException | None:
        """Run a law in the child; return what the test is to raise."""
        __tracebackhide__ = True
        started = time.perf_counter()
        found: list[Violation] = []

        def hear(violation: Violation | None) -> float | None:
            if violation is None:  # the law is prepared
                return self._limit
            found.append(violation)
            self._found(violation)
            return None

        self._prepare(run)
        self._note.write("")
        is_fresh = not self._is_loaded
        answer = self.call("attempt", run, seconds=_PREPARING, heard=hear)
        if isinstance(answer, Ended) and answer.was_full and not (is_fresh or found):
            answer = self.call("attempt", run, seconds=_PREPARING, heard=hear)
        if not isinstance(answer, Ended):
            run.result, run.facts, text, run.statistics, run.diagnosed = answer
            self._diagnosis = self._diagnosis or run.diagnosed
        elif run.law is None:
            run.facts, text = {"not measured": f"the process {answer.how}"}, ""
        else:
            text = self._ended(run, answer, found[-1] if found else None, started)
        if not text:
            return None
        if run.result is not None and run.result.violation is not None:
            return Violated(run.result.violation.message)
        return pytest.fail.Exception(text, pytrace=False)

    def _prepare(self, run: LawRun) -> None:
        """Load what the law needs in this process, of which every child then has it."""
        if run.law is None or run.law.prepare in self._prepared:
            return
        self._prepared.add(run.law.prepare)
        loaded = len(sys.modules)
        run.law.prepare()
        if len(sys.modules) > loaded:
            self._child.kill()
            self._is_loaded = False

    @property
    def child(self) -> Child:
        """The process itself."""
        return self._child

    def _load(self) -> Loaded:
        """Have the child load the target."""
        answer = self._child.ask(("load", 0, ()), seconds=self._limit)
        if isinstance(answer, Ended):
            if answer.was_late:
                how = f"took longer than {self._options.timeout:g} s"
            else:
                how = f"{answer.how.removeprefix('the process ')}"
                how = f"ended the process: it {how}{_where(answer.traceback)}"
            raise TargetError(f"importing, building or calling {name_of(self._spec)} {how}.")
        if isinstance(answer, tuple):
            raise _ERRORS.get(answer[0], TargetError)(answer[1])
        self._is_loaded = True
        assert isinstance(answer, Loaded)  # noqa: S101 - as _serve answers
        return answer

    def _serve(self, request: Any, word: Callable[[Any], None]) -> Any:
        """In the child: answer a request."""
        name, index, arguments = request
        if name == "load":
            try:
                self._there = collect_runs(self._spec, self._options)
            except (TargetError, UsageError) as error:
                return type(error).__name__, str(error)
            target = self._there[0].target
            names = Loaded.__dataclass_fields__
            return Loaded(**{name: getattr(target, name) for name in names})
        run = self._there[index]
        run.watch = _Parent(self._note, word)
        run.diagnosed = run.diagnosed or self._diagnosis
        return self._helpers[name](run, *arguments)

    def _ended(self, run: LawRun, ended: Ended, found: Violation | None, started: float) -> str:
        """Record what became of a law whose process ended; return the text of its failure."""
        examples, _, case = self._note.read().partition("\n")
        how = f"the process {ended.how}{_where(ended.traceback)}"
        if ended.was_full:
            how += f" near the {run.options.memory:g} GiB of --memory"
        limit = f"exceeded the {run.options.timeout:g} s limit"
        if found is not None:
            reason = f"{limit if ended.was_late else how}, so the case may not be the smallest"
            run.note_violation(found, int(examples or 1))
            run.record("violated", reason, time.perf_counter() - started)
        elif not case:
            run.record("crashed", f"{how} before any example", time.perf_counter() - started)
        elif ended.was_late:
            run.record("timed out", f"{limit}: {case}", time.perf_counter() - started)
        elif ended.was_full:
            run.record("crashed", f"{how}: {case}", time.perf_counter() - started)
        else:
            assert run.law is not None  # noqa: S101 - the caller has asked
            violation = Violation(run.law.name, case, how)
            run.note_violation(violation, int(examples))
            run.record("violated", None, time.perf_counter() - started)
            if run.options.shrink and not run.law.stateful:
                self._shrink(run, how)
        assert run.result is not None  # noqa: S101 - recorded above
        return run.result.reason or how

    def _shrink(self, run: LawRun, how: str) -> None:
        """Replace the case that a process died of by the smallest, if it is found again in time."""

        def hear(violation: Violation | None) -> None:
            if violation is not None:
                self._found(violation)

        smaller = self.call("one_by_one", run, heard=hear)
        if isinstance(smaller, LawResult) and smaller.violation is not None:
            violation = smaller.violation
            if violation.ended_the_process:
                violation = replace(violation, message=how)
            run.result = replace(smaller, violation=violation)


class _Parent:
    """The parent, to its child; see Watch."""

    def __init__(self, note: Note, word: Callable[[Any], None]) -> None:
        self.trying = note.write
        self.found = word
        self._word = word

    def begun(self) -> None:
        self._word(None)


def _attempt(run: LawRun) -> tuple[Any, ...]:
    """Run a law; return its result, the facts, the text of what it raised, and more."""
    told: list[str] = []

    def tell(statistics: Any) -> None:
        statistics["nodeid"] = run_id(run)  # which the parent knows better
        told.append(describe_statistics(statistics))

    with collector.with_value(tell):  # type: ignore[arg-type]
        error = run.attempt()
    text = "" if error is None else "".join(traceback.format_exception(error))
    return run.result, run.facts, text, "\n".join(told), run.diagnosed


def _one_by_one(run: LawRun) -> Any:
    """Run a law with each example in a process of its own; return its result."""
    run.apart = call_apart
    run.attempt()
    return run.result


def _where(text: str) -> str:
    """Return the target's own line that a fatal signal met, from what faulthandler wrote."""
    places = re.findall(r'File "(.*)", line (\d+) in (\S+)', text)
    own = [one for one in places if not re.search("/(torch|stackgru|hypothesis)/", one[0])]
    if not own:
        return ""
    file, line, function = own[0]
    return f" in {function} ({file.rpartition('/')[2]}:{line})"
