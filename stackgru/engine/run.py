"""Running one law on one target: the search by Hypothesis, and what becomes of it."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from stackgru.cases.case import Case
from stackgru.diagnosis.first_error import find_first_error
from stackgru.diagnosis.search import diagnose
from stackgru.engine.database import NamespacedDatabase
from stackgru.engine.select import domain, select
from stackgru.engine.time_limit import TimedOut, time_limit
from stackgru.harness.build_facts import measure
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law
from stackgru.options import PROFILES, Options
from stackgru.outcomes import NotApplicable, Violated
from stackgru.report.report import Finding, LawResult
from stackgru.targets.convention import Convention
from stackgru.targets.importing import describe_error
from stackgru.targets.target import Target, load
from stackgru.torch_settings import settings_kept

FACTS = "on-this-build"  # the id of the item that measures facts of the build
_EXPLAINED = ("training", "seeds", "sequences")  # questions that a variant may be the answer to
_ACTIONS_IN_A_LIFE = 12
# Climbing takes half of the examples, and leaves them to what a ratio does not lead to: below this
# ratio of difference to bound there is nothing to climb. Right variants stay below it but in half
# precision, where a bound can be the whole range of a value.
_NEAR = 0.5


class LawRun:
    """One law on one target: what a pytest item runs.

    Args:
        target: what is under test.
        law: the law, or None to measure the facts of the build.
        options: what the run is to do.

    Attributes:
        result: what became of the law, once it has run.
        facts: what was measured, once it was.
    """

    def __init__(self, target: Target, law: Law | None, options: Options) -> None:
        self.target = target
        self.law = law
        self.options = options
        self.result: LawResult | None = None
        self.facts: Mapping[str, Any] | None = None
        self._examples = 0
        self._ratio = 0.0
        self._remark: str | None = None
        self._violation: Violated | None = None

    def run(self) -> None:
        """Run it; a law that does not hold fails the test, one that does not apply skips it."""
        __tracebackhide__ = True
        started = time.perf_counter()
        status, reason, failure = "holds", None, None
        with settings_kept(), torch.random.fork_rng(devices=[]):
            torch.set_num_threads(1)
            if self.law is None:
                self.facts = measure(self.target)
                return
            try:
                with time_limit(self.options.timeout):
                    self._search(self.law)
            except Violated as violation:
                status, failure = "violated", violation
            except Flaky as error:
                if self._violation is None:
                    self._record("crashed", started, describe_error(error), None)
                    raise
                status, failure = "violated", self._flaky(self._violation)
            except NotApplicable as skipped:
                status, reason = "not applicable", str(skipped)
            except TimedOut:
                status, reason = "timed out", f"it took over {self.options.timeout:g} s"
            except Exception as error:
                status, reason = "crashed", describe_error(error)
                self._record(status, started, reason, None)
                raise
        known = dict(self.options.known).get(self.law.name)
        if known is not None and status == "violated":
            self._record("known", started, known, failure)
            pytest.xfail(f"known: {known}")
        if known is not None and status == "holds":
            self._remark = f"though known to be violated: {known}"
        self._record(status, started, reason or self._remark, failure)
        if failure is not None:
            raise failure
        if status == "not applicable":
            pytest.skip(f"not applicable: {reason}")
        if status == "timed out":
            pytest.fail(f"timed out: {reason}", pytrace=False)

    @property
    def should_diagnose(self) -> bool:
        """Whether what was found may be explained by a variant of nn.GRU."""
        result = self.result
        if result is None or result.status != "violated":
            return False
        return result.question in _EXPLAINED

    def diagnosis(self) -> dict[str, Any]:
        """Return what the target is, as plain data; see stackgru.diagnosis.search."""
        with settings_kept():
            torch.set_num_threads(1)
            try:
                with time_limit(self.options.timeout):
                    strict, dtypes = self.options.strict, self.options.dtypes
                    return diagnose(self.target, order_counts=strict, dtypes=dtypes).to_dict()
            except (Exception, TimedOut) as error:  # a target may do anything
                return {
                    "variants": [],
                    "sentence": f"could not be compared: {describe_error(error)}",
                }

    def to_dict(self) -> dict[str, Any]:
        """Return what became of it as plain data, as a worker sends it."""
        return {
            "target": self.target.name,
            "kind": self.target.kind,
            "convention": self.target.cli_options,
            "torch_version": str(torch.__version__),
            "seed": self.options.seed,
            "result": asdict(self.result) if self.result else None,
            "facts": dict(self.facts) if self.facts else None,
        }

    def _record(
        self, status: str, started: float, reason: str | None, failure: Violated | None
    ) -> None:
        assert self.law is not None  # noqa: S101
        law = self.law
        finding = None
        if failure is not None:
            finding = Finding(
                law=law.name,
                case=failure.case,
                message=failure.message,
                largest_difference=failure.difference,
                allowed_difference=failure.allowed,
                place=failure.place,
                **self._first_error(law, failure),
            )
        self.result = LawResult(
            name=law.name,
            family=law.family,
            question=law.question,
            status=status,
            examples=self._examples,
            reason=reason,
            violation=finding,
            seconds=round(time.perf_counter() - started, 3),
            ratio=self._ratio,
        )

    def _first_error(self, law: Law, failure: Violated) -> dict[str, str | None]:
        """Return where a violation of values first parts, as a finding keeps it."""
        if law.family != "values" or failure.place is None:
            return {}
        with settings_kept():
            found = find_first_error(self.target, Case.parse(failure.case))
        return {} if found is None else {"parts_at": found.text, "gate": found.gate}

    def _search(self, law: Law) -> None:
        """Let Hypothesis look for a case that breaks the law, and shrink it."""
        strategy = domain(law, self.target, self.options)
        search: Any = self._stateful(law, strategy) if law.stateful else self._plain(law)
        if self.options.seed is not None:
            search = hypothesis.seed(self.options.seed + zlib.crc32(law.name.encode()))(search)
        known = any(law.name == name for name, _ in self.options.known)
        how = _settings(replace(self.options, shrink=self.options.shrink and not known), law.share)
        if how.database is not None:
            how = settings(
                how, database=NamespacedDatabase(how.database, f"{law.name} of {self.target.name}")
            )
        if law.stateful:
            run_state_machine_as_test(search, settings=how)
        else:
            how(given(strategy)(search))()

    def _plain(self, law: Law) -> Callable[[Case], None]:
        def holds(case: Case) -> None:
            __tracebackhide__ = True
            with self._noting(law, case):
                pair = self._begin(case)
                law.check(pair)
            self._passed(pair)

        return holds

    def _stateful(self, law: Law, strategy: SearchStrategy[Case]) -> Any:
        from stackgru.laws.life import machine

        return machine(strategy, self._begin, lambda case: self._noting(law, case), self._passed)

    def _begin(self, case: Case) -> Pair:
        if self._violation is None:
            self._examples += 1
        return Pair(self.target, case, strict=self.options.strict)

    @contextmanager
    def _noting(self, law: Law, case: Case) -> Iterator[None]:
        """Note a violation, and which law and case show it."""
        try:
            yield
        except Violated as violation:
            violation.law, violation.case = law.name, str(case)
            self._violation = violation
            raise

    def _passed(self, pair: Pair) -> None:
        if self._violation is None:
            self._ratio = max(self._ratio, pair.ratio)
            self._remark = pair.remark or self._remark
            if pair.ratio > _NEAR and pair.full_precision:
                hypothesis.target(min(pair.ratio, 2.0))

    def _flaky(self, found: Violated) -> Violated:
        """Return the violation of a target that does not do the same thing twice."""
        again = Violated(
            f"not every time, for the target does not do the same twice: {found.message}",
            difference=found.difference,
            allowed=found.allowed,
            place=found.place,
        )
        again.law, again.case = found.law, found.case
        return again


def collect_runs(target: str | Callable[..., Any] | Convention, options: Options) -> list[LawRun]:
    """Return what pytest is to run: every law asked for, and the facts of the build.

    Args:
        target: the class, factory or convention, or its name.
        options: what the run is to do.
    """
    loaded = load(target, kind=options.kind, device=options.device, fields=options.convention)
    return [LawRun(loaded, law, options) for law in (*select(options), None)]


def run_id(run: LawRun) -> str:
    """Return the name of a run in pytest's ids."""
    return FACTS if run.law is None else run.law.name


def _settings(options: Options, share: float) -> settings:
    """Return Hypothesis' settings; no deadline, for one case may be a hundred times another."""
    changed: dict[str, Any] = {}
    if options.profile is not None:
        # Set both ways: on CI Hypothesis loads a profile of its own.
        changed["max_examples"] = PROFILES[options.profile]
        changed["derandomize"] = options.profile == "ci"
        if options.profile == "ci":
            changed["database"] = None
    if options.max_examples is not None:
        changed["max_examples"] = options.max_examples
    wanted = settings(settings.default, **changed)
    phases = (Phase.reuse, Phase.generate, Phase.target, Phase.shrink)
    return settings(
        wanted,
        max_examples=math.ceil(share * wanted.max_examples),
        deadline=None,
        stateful_step_count=_ACTIONS_IN_A_LIFE,
        report_multiple_bugs=False,
        print_blob=False,
        phases=phases if options.shrink else phases[:-1],
    )
