"""Scripts of transforms: what torch makes of the target, against the target itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from stackgru.harness.reference import expected
from stackgru.repro.scripts.scene import Body, ScriptContext, attempt

_COPIES = "weights = {name: value.detach() + 1 for name, value in target.named_parameters()}"
_WRAPPED = (
    "class Wrapped(nn.Module):",
    "    def __init__(self):",
    "        super().__init__()",
    "        self.module = target",
    "",
    "    def forward(self, x, state):",
    "        return self.module(x, state)",
    "",
)


def functional_call(scene: ScriptContext) -> Iterator[Body]:
    """Yield a call with other weights, against a copy that holds them; then with its own."""
    called = "torch.func.functional_call(target, weights, (x, state))"
    define = [_COPIES, "def call(x, state):", f"    return {called}", ""]
    holding = (
        "holder = copy.deepcopy(target)",
        "holder.load_state_dict(weights, strict=False)",
    )
    for part in ("{}, _", "_, {}"):
        yield Body(
            (
                *define,
                *holding,
                *scene.seeded(f"{part.format('observed')} = {scene.run('call')}"),
                *scene.seeded(f"{part.format('expected')} = {scene.run('holder')}"),
            ),
            imports=("copy",),
        )
        yield Body(
            (
                *define,
                *scene.seeded(f"{part.format('expected')} = {scene.run()}"),
                scene.run("call"),
                *scene.seeded(f"{part.format('observed')} = {scene.run()}"),
            )
        )


def checkpoint(scene: ScriptContext) -> Iterator[Body]:
    """Yield the gradient of the input under a checkpoint, against that without."""
    call = (
        "def call(x, state):",
        "    return torch.utils.checkpoint.checkpoint(target, x, state, use_reentrant=False)",
        "",
        "x.requires_grad_(), h0.requires_grad_()",
    )
    for loss in ("output.sum() + hn.sum()", "hn.sum()"):
        yield Body(
            (
                *call,
                *scene.seeded(f"output, hn = {scene.run('call')}"),
                f"(observed,) = torch.autograd.grad({loss}, x)",
                *scene.seeded(f"output, hn = {scene.run()}"),
                f"(expected,) = torch.autograd.grad({loss}, x)",
            ),
            imports=("torch.utils.checkpoint",),
        )
        yield Body(
            (
                *call,
                *attempt(
                    '"a gradient"', f"output, hn = {scene.run('call')}", f"({loss}).backward()"
                ),
                'expected = "a gradient"  # as of nn.GRU',
            ),
            allowed=None,
            imports=("torch.utils.checkpoint",),
        )


def _transformed(
    make: str, imports: Sequence[str] = ()
) -> Callable[[ScriptContext], Iterator[Body]]:
    """Return what yields results of the transformed target, against its own."""

    def bodies(scene: ScriptContext) -> Iterator[Body]:
        x = "x[0]" if scene.is_cell else "x"
        lines = (*_WRAPPED, f"made = {make.format(x=x)}")
        for calls in (1, 3):
            for part in ("{}, _", "_, {}"):
                run = f"{part.format('observed')} = {scene.run('made')}"
                yield Body(
                    (
                        *scene.seeded(f"{part.format('expected')} = {scene.run()}"),
                        *lines,
                        *(scene.run("made"),) * (calls - 1),
                        *scene.seeded(run),
                    ),
                    imports=tuple(imports),
                )
        yield Body(
            (
                *_WRAPPED,
                *attempt('"a result"', f"made = {make.format(x=x)}", scene.run("made")),
                'expected = "a result"  # as of nn.GRU',
            ),
            allowed=None,
            imports=tuple(imports),
        )

    return bodies


def vmap(scene: ScriptContext) -> Iterator[Body]:
    """Yield two modules under one vmap, against each of them."""
    pair, other = scene.pair(), scene.pair()
    with torch.no_grad():
        for value in other.module.parameters():
            value.mul_(0.5).add_(0.25)
    bounds = [expected(one, None) for one in (pair, other)]
    x = "x[0]" if scene.is_cell else "x"
    for part, name in enumerate(("outputs", "hn")):
        allowed = max(float(2 * getattr(bound, name).error.max()) for bound in bounds)
        yield Body(
            (
                "other = copy.deepcopy(target)",
                "with torch.no_grad():",
                "    for value in other.parameters():",
                "        value.mul_(0.5).add_(0.25)",
                "pairs = zip(target.named_parameters(), other.parameters())",
                "both = {name: torch.stack([one, two]) for (name, one), two in pairs}",
                "",
                "def call(weights, x, state):",
                "    return torch.func.functional_call(target, weights, (x, state))",
                "",
                f"x, h0 = torch.stack([{x}, {x}]), torch.stack([h0, h0])",
                f"observed = torch.func.vmap(call)(both, x, h0)[{part}]",
                f"expected = torch.stack([one(x[0], h0[0])[{part}] for one in (target, other)])",
            ),
            allowed,
            imports=("copy",),
        )


#: The ways to tell a violation of each law.
BODIES: dict[str, Callable[[ScriptContext], Iterator[Body]]] = {
    "functional-call": functional_call,
    "checkpoint": checkpoint,
    "script": _transformed("torch.jit.script(Wrapped())"),
    "export": _transformed("torch.export.export(Wrapped(), ({x}, h0)).module()"),
    "compile": _transformed('torch.compile(Wrapped(), backend="eager")'),
    "vmap": vmap,
}
