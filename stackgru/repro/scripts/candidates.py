"""What scripts do, law by law: ways to tell a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stackgru.outcomes import NotApplicable, Violated
from stackgru.repro.scripts import (
    conduct,
    gradients,
    layouts,
    life,
    plain,
    randomness,
    refusals,
    transforms,
    values,
)
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.targets.importing import TargetError

_Ways = Callable[[ScriptContext], Iterator[Candidate]]

_OWN: dict[str, _Ways] = {
    **values.CANDIDATES,
    **layouts.CANDIDATES,
    **randomness.CANDIDATES,
    **gradients.CANDIDATES,
    **conduct.CANDIDATES,
    **refusals.CANDIDATES,
    **life.CANDIDATES,
    **transforms.CANDIDATES,
}
#: What a violation of any law may come to.
_COMMON: tuple[_Ways, ...] = (
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
    """Yield the ways in which a violation can be told: those of its law, and those of any.

    Args:
        context: what is to be told.
    """
    yield from law_candidates(context)
    yield from common_candidates(context)


def law_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield what is particular to the law, if anything is."""
    own = _OWN.get(context.law.name)
    return _possible([own] if own else [], context)


def common_candidates(context: ScriptContext) -> Iterator[Candidate]:
    """Yield what does not depend on the law."""
    return _possible(_COMMON, context)


def _possible(every: Iterable[_Ways], context: ScriptContext) -> Iterator[Candidate]:
    """Yield what each gives, as far as the target gets."""
    for ways in every:
        try:
            yield from ways(context)
        except (Violated, NotApplicable, TargetError, RuntimeError, ValueError):
            continue
