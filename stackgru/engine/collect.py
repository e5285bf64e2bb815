"""Collecting runs: one for each law that a target is to be tried with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stackgru.engine.run import LawRun
from stackgru.engine.select import select
from stackgru.engine.time_limit import TimedOut, time_limit
from stackgru.harness.activations import activations_of
from stackgru.options import MOST_ACTIVATION_ERROR, Options
from stackgru.outcomes import Violated
from stackgru.targets.convention import Convention
from stackgru.targets.target import Target, load

FACTS = "on-this-build"  # the id of the item that measures facts of the build
#: A law whose share of the examples is smaller compiles, traces or runs on meta in each: all slow.
_SLOW = 0.3


def collect_runs(target: str | Callable[..., Any] | Convention, options: Options) -> list[LawRun]:
    """Return a run per selected law, and one that measures facts of the build."""
    loaded = load(
        target,
        kind=options.kind,
        device=options.device,
        fields=options.convention,
        dtypes=options.dtypes,
    )
    given = _given_its_arithmetic(loaded, options.timeout)
    return [LawRun(given, law, options) for law in (*select(options), None)]


def _given_its_arithmetic(target: Target, seconds: float) -> Target:
    """Return a target with bounds for its arithmetic, measured where it is not stated."""
    convention = target.convention
    stated = convention.activation_error, convention.flush_to_zero
    if not target.is_foreign or all(stated):
        return target
    try:
        with time_limit(seconds):
            found = activations_of(target)
    except (Violated, TimedOut):  # the laws will tell what is wrong with it
        return target
    error = found.error if found.error <= MOST_ACTIVATION_ERROR else 0.0
    own = replace(
        convention,
        activation_error=convention.activation_error or error,
        flush_to_zero=convention.flush_to_zero or found.flushes,
    )
    return replace(target, convention=own)


def spread(runs: list[LawRun], workers: int) -> list[LawRun]:
    """Return the runs in an order that keeps several workers busy: slow laws begin early."""
    slow = [run for run in runs if run.law is not None and run.law.share < _SLOW]
    found = [run for run in runs if run not in slow]
    for number, run in enumerate(reversed(slow) if workers > 1 else ()):
        found.insert(1 + 5 * number, run)
    return found if workers > 1 else runs


def run_id(run: LawRun) -> str:
    """Return the name of a run in pytest's ids."""
    return FACTS if run.law is None else run.law.name
