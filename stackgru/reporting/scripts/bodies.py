"""What scripts do, law by law: ways to tell a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stackgru.evidence import NotApplicable, Violation
from stackgru.loading import TargetError
from stackgru.reporting.scripts import (
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
from stackgru.reporting.scripts.scene import Body, Scene

_Ways = Callable[[Scene], Iterator[Body]]

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


def bodies(scene: Scene) -> Iterator[Body]:
    """Yield the ways in which a violation can be told.

    Args:
        scene: what is to be told.
    """
    own = _OWN.get(scene.law.name)
    for ways in (*([own] if own else []), *_COMMON):
        try:
            yield from ways(scene)
        except (Violation, NotApplicable, TargetError, RuntimeError, ValueError):
            continue  # the target does not get so far
