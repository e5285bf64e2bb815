"""Candidates for the script of a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stackgru.outcomes import NotApplicable, Violated
from stackgru.repro.scripts import (
    conduct,
    gradients,
    life,
    plain,
    randomness,
    refusals,
    values,
)
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.repro.scripts.of_law import of_law
from stackgru.targets.importing import TargetError

_Source = Callable[[ScriptContext], Iterator[Candidate]]

_OF_LAW: dict[str, _Source] = {
    **values.CANDIDATES,
    **randomness.CANDIDATES,
    **gradients.CANDIDATES,
    **conduct.CANDIDATES,
    **refusals.CANDIDATES,
    **life.CANDIDATES,
}
#: Candidates for a violation of any law.
_COMMON: tuple[_Source, ...] = (
    plain.plain,
    plain.local,
    plain.calls,
    randomness.same_draws,
    gradients.trainable,
    plain.rarely,
    conduct.remembered,
    conduct.overwritten,
)


def candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the candidates of the context's law, then those of any law."""
    yield from law_candidates(context)
    yield from common_candidates(context)
    yield from _possible([of_law], context)


def law_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the candidates of the context's law alone, if it has any."""
    own = _OF_LAW.get(context.law.name)
    return _possible([own] if own else [], context)


def common_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the candidates that do not depend on the law."""
    return _possible(_COMMON, context)


def _possible(sources: Iterable[_Source], context: ScriptContext) -> Iterator[Candidate]:
    """Yield what each source yields until the target fails in it."""
    for source in sources:
        try:
            yield from source(context)
        except (Violated, NotApplicable, TargetError, RuntimeError, ValueError):
            continue
