"""What scripts do, law by law: ways to tell a violation, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stackgru.reporting.scripts import conduct, gradients, layouts, life, randomness, transforms, values
from stackgru.reporting.scripts.scene import Body, Scene

_OWN: dict[str, Callable[[Scene], Iterator[Body]]] = {
    **values.BODIES,
    **layouts.BODIES,
    **randomness.BODIES,
    **gradients.BODIES,
    **conduct.BODIES,
    **life.BODIES,
    **transforms.BODIES,
}


def bodies(scene: Scene) -> Iterator[Body]:
    """Yield the ways in which a violation can be told.

    Args:
        scene: what is to be told.
    """
    own = _OWN.get(scene.law.name)
    if own is not None:
        yield from own(scene)
    yield from values.plain(scene)
    yield from values.calls(scene)
    yield from randomness.same_draws(scene)
