"""What scripts do, law by law: ways to tell a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stackgru.outcomes import NotApplicable, Violation
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
from stackgru.repro.scripts.scene import Body, ScriptContext
from stackgru.targets.importing import TargetError

_Ways = Callable[[ScriptContext], Iterator[Body]]

_OWN: dict[str, _Ways] = {
    **values.BODIES,
    **layouts.BODIES,
    **randomness.BODIES,
    **gradients.BODIES,
    **conduct.BODIES,
    **refusals.BODIES,
    **life.BODIES,
    **transforms.BODIES,
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


def bodies(scene: ScriptContext) -> Iterator[Body]:
    """Yield the ways in which a violation can be told: those of its law, and those of any.

    Args:
        scene: what is to be told.
    """
    yield from own_ways(scene)
    yield from common_ways(scene)


def own_ways(scene: ScriptContext) -> Iterator[Body]:
    """Yield what is particular to the law, if anything is."""
    own = _OWN.get(scene.law.name)
    return _possible([own] if own else [], scene)


def common_ways(scene: ScriptContext) -> Iterator[Body]:
    """Yield what does not depend on the law."""
    return _possible(_COMMON, scene)


def _possible(every: Iterable[_Ways], scene: ScriptContext) -> Iterator[Body]:
    """Yield what each gives, as far as the target gets."""
    for ways in every:
        try:
            yield from ways(scene)
        except (Violation, NotApplicable, TargetError, RuntimeError, ValueError):
            continue
