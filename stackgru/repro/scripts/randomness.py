"""Scripts of randomness and divergence: what is drawn, and what must make a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stackgru.gru.parameters import place
from stackgru.repro.scripts.plain import by_steps, plain
from stackgru.repro.scripts.scene import Body, ScriptContext, own_leaf


def same_draws(scene: ScriptContext) -> Iterator[Body]:
    """Yield the next random number after a call of both from one seed."""
    own, reference = _called(scene), ["reference(x, h0)"]
    if scene.is_cell and scene.case.seq_len > 1:
        reference = by_steps(scene, "state", "reference", "hn")
    number = "torch.rand(1).item()  # the next random number"
    yield Body(
        (
            *scene.seeded(*own, f"observed = {number}", always=True),
            *scene.seeded(*reference, f"expected = {number}", always=True),
        ),
        allowed=None,
    )


def _called(scene: ScriptContext) -> list[str]:
    """Return lines that call the target, for what that leaves behind."""
    if scene.is_cell and scene.case.seq_len > 1:
        return by_steps(scene, "state", scene.called, "hn")
    return [scene.run()]


def no_draws(scene: ScriptContext) -> Iterator[Body]:
    """Yield the next random number after a call that is to draw none."""
    for module, number in (("torch", "torch.rand(1).item()"), ("random", "random.random()")):
        seeded = f"torch.manual_seed({scene.case.seed})" if module == "torch" else "random.seed(0)"
        yield Body(
            (
                seeded,
                *_called(scene),
                f"observed = {number}  # the next random number",
                seeded,
                f"expected = {number}  # of the same seed, without a call",
            ),
            allowed=None,
            imports=() if module == "torch" else ("random",),
        )


def repeatable(scene: ScriptContext) -> Iterator[Body]:
    """Yield a second run from one seed, with other calls in between."""
    mode = "train" if scene.case.mode == "eval" else "eval"
    between = [
        [],
        [scene.run(x="x + 1")],
        [scene.run(x="x[:, :1]", h0="h0[:, :1]")],
        [f"target.{mode}()", scene.run(), f"target.{scene.case.mode}()"],
    ]
    for calls in (*between, [line for lines in between for line in lines]):
        for name in ("observed, _", "_, observed"):
            yield Body(
                (
                    *scene.seeded(f"{name.replace('observed', 'expected')} = {scene.run()}"),
                    *calls,
                    *scene.seeded(f"{name} = {scene.run()}"),
                )
            )
    yield Body(
        (
            *scene.seeded(f"_, expected = {scene.run()}"),
            "for _ in range(1000):",
            *(f"    {line}" for line in scene.seeded(f"_, observed = {scene.run()}")),
            "    if not torch.equal(observed, expected):",
            "        break",
        )
    )


def seed_matters(scene: ScriptContext) -> Iterator[Body]:
    """Yield whether two seeds give the same result, against nn.GRU."""
    yield from plain(scene)
    seeds = scene.case.seed, (scene.case.seed + 1) % 2**64
    lines = []
    for name, run in (("observed", scene.run()), ("expected", "reference(x, h0)")):
        for result, seed in zip(("first", "second"), seeds, strict=True):
            lines += [f"torch.manual_seed({seed})", f"_, {result} = {run}"]
        lines.append(f"{name} = torch.equal(first, second)  # whether two seeds give the same")
    yield Body(tuple(lines), allowed=None)
    yield from same_draws(scene)


def mode_matters(scene: ScriptContext) -> Iterator[Body]:
    """Yield whether training and eval give the same result, against nn.GRU."""
    yield from plain(scene)
    for part in ("result, _", "_, result"):
        lines = []
        for name, module, run in (
            ("observed", "target", scene.run()),
            ("expected", "reference", "reference(x, h0)"),
        ):
            for result, mode in (("first", "train"), ("second", "eval")):
                lines += [
                    f"{module}.{mode}()",
                    *scene.seeded(f"{part.replace('result', result)} = {run}", always=True),
                ]
            lines.append(f"{name} = torch.equal(first, second)  # whether the modes do the same")
        yield Body(tuple(lines), allowed=None)


def mask_count(scene: ScriptContext) -> Iterator[Body]:
    """Yield results, or the next random number, from one seed."""
    yield from plain(scene)
    yield from same_draws(scene)


def everything_matters(scene: ScriptContext) -> Iterator[Body]:
    """Yield how many numbers can be trained, and whether a change of one thing changes results."""
    yield Body(
        (
            "observed = sum(parameter.numel() for parameter in target.parameters())",
            "expected = sum(parameter.numel() for parameter in reference.parameters())",
        ),
        allowed=None,
    )
    yield from plain(scene)
    pair = scene.pair()
    changes = [("x", "x"), ("h0", "h0")]
    for layer, weights in enumerate(pair.layers):
        for name in weights:
            own = own_leaf(place(name, layer))
            changes.append((own, f"reference.{name}_l{layer}"))
    for own, right in changes:
        lines = []
        for name, run, change in (
            ("observed", scene.run(), own),
            ("expected", "reference(x, h0)", right),
        ):
            lines += [
                f"changed = {change}",
                f"_, before = {run}",
                "changed.data += 1",
                f"_, after = {run}",
                f"{name} = torch.equal(before, after)  # whether a change makes no difference",
            ]
        yield Body(tuple(lines), allowed=None)


#: The ways to tell a violation of each law.
BODIES: dict[str, Callable[[ScriptContext], Iterator[Body]]] = {
    "same-draws": same_draws,
    "no-draws": no_draws,
    "repeatable": repeatable,
    "seed-matters": seed_matters,
    "mask-count": mask_count,
    "same-masks": mask_count,
    "mode-matters": mode_matters,
    "everything-matters": everything_matters,
}
