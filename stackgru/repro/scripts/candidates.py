"""Candidates for the script of a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stackgru.outcomes import NotApplicable, Violated
from stackgru.repro.scripts import conduct, gradients, plain, randomness
from stackgru.repro.scripts.autocast import autocast
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.repro.scripts.life import life
from stackgru.repro.scripts.of_law import of_law
from stackgru.targets.importing import TargetError

_Source = Callable[[ScriptContext], Iterator[Candidate]]

#: Candidates for a violation of any law.
_COMMON: tuple[_Source, ...] = (
    plain.calls,
    plain.refused_dtypes,
    plain.changed,
    randomness.same_draws,
    randomness.masked,
    gradients.trainable,
    plain.rarely,
    conduct.remembered,
    conduct.overwritten,
    randomness.dependence,
)


def candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield what the case is about, a plain call, the law's own source, and what is common."""
    yield from _possible(_of_case(context), context)
    yield from _possible([plain.plain, plain.local, of_law], context)
    yield from common_candidates(context)


def own_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the candidates that depend on the law or on what the case chooses."""
    return _possible([*_of_case(context), of_law], context)


def common_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the candidates that depend on neither."""
    return _possible(_COMMON, context)


def _of_case(context: ScriptContext) -> list[_Source]:
    """Return the sources of what a case chooses besides its sizes and form."""
    case = context.case
    sources: list[tuple[_Source, bool]] = [
        (life, bool(case.actions)),
        (autocast, bool(case.autocast)),
        (conduct.strided, (case.input_strides, case.state_strides) != ("contiguous",) * 2),
        (gradients.derivatives, context.law.family == "gradients"),
    ]
    return [source for source, is_meant in sources if is_meant]


def _possible(sources: Iterable[_Source], context: ScriptContext) -> Iterator[Candidate]:
    """Yield what each source yields until the target fails in it."""
    for source in sources:
        try:
            yield from source(context)
        except (Violated, NotApplicable, TargetError, RuntimeError, ValueError):
            continue
