"""Scripts of transforms: the target transformed by torch, compared with the target itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from stackgru.harness.reference import expected
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt

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


def functional_call(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a call with other weights, compared with a copy that has them; then with its own."""
    called = "torch.func.functional_call(target, weights, (x, state))"
    define = [_COPIES, "def call(x, state):", f"    return {called}", ""]
    holding = (
        "holder = copy.deepcopy(target)",
        "holder.load_state_dict(weights, strict=False)",
    )
    for part in ("{}, _", "_, {}"):
        yield Candidate(
            (
                *define,
                *holding,
                *context.seeded(f"{part.format('observed')} = {context.run('call')}"),
                *context.seeded(f"{part.format('expected')} = {context.run('holder')}"),
            ),
            imports=("copy",),
        )
        yield Candidate(
            (
                *define,
                *context.seeded(f"{part.format('expected')} = {context.run()}"),
                context.run("call"),
                *context.seeded(f"{part.format('observed')} = {context.run()}"),
            )
        )


def checkpoint(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the gradient of the input under a checkpoint, compared with that without."""
    call = (
        "def call(x, state):",
        "    return torch.utils.checkpoint.checkpoint(target, x, state, use_reentrant=False)",
        "",
        "x.requires_grad_(), h0.requires_grad_()",
    )
    for loss in ("output.sum() + hn.sum()", "hn.sum()"):
        yield Candidate(
            (
                *call,
                *context.seeded(f"output, hn = {context.run('call')}"),
                f"(observed,) = torch.autograd.grad({loss}, x)",
                *context.seeded(f"output, hn = {context.run()}"),
                f"(expected,) = torch.autograd.grad({loss}, x)",
            ),
            imports=("torch.utils.checkpoint",),
        )
        yield Candidate(
            (
                *call,
                *attempt(
                    '"a gradient"', f"output, hn = {context.run('call')}", f"({loss}).backward()"
                ),
                'expected = "a gradient"  # as for nn.GRU',
            ),
            allowed=None,
            imports=("torch.utils.checkpoint",),
        )


def _transformed(
    make: str, imports: Sequence[str] = ()
) -> Callable[[ScriptContext], Iterator[Candidate]]:
    """Return a function that yields results of the transformed target, compared with its own."""

    def candidates(context: ScriptContext) -> Iterator[Candidate]:
        x = "x[0]" if context.is_cell else "x"
        lines = (*_WRAPPED, f"made = {make.format(x=x)}")
        for calls in (1, 3):
            for part in ("{}, _", "_, {}"):
                run = f"{part.format('observed')} = {context.run('made')}"
                yield Candidate(
                    (
                        *context.seeded(f"{part.format('expected')} = {context.run()}"),
                        *lines,
                        *(context.run("made"),) * (calls - 1),
                        *context.seeded(run),
                    ),
                    imports=tuple(imports),
                )
        yield Candidate(
            (
                *_WRAPPED,
                *attempt('"a result"', f"made = {make.format(x=x)}", context.run("made")),
                'expected = "a result"  # as for nn.GRU',
            ),
            allowed=None,
            imports=tuple(imports),
        )

    return candidates


def vmap(context: ScriptContext) -> Iterator[Candidate]:
    """Yield two modules under one vmap, compared with each of them alone."""
    pair, other = context.pair(), context.pair()
    with torch.no_grad():
        for value in other.module.parameters():
            value.mul_(0.5).add_(0.25)
    bounds = [expected(one, None) for one in (pair, other)]
    x = "x[0]" if context.is_cell else "x"
    for part, name in enumerate(("outputs", "hn")):
        allowed = max(float(2 * getattr(bound, name).error.max()) for bound in bounds)
        yield Candidate(
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


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {
    "functional-call": functional_call,
    "checkpoint": checkpoint,
    "script": _transformed("torch.jit.script(Wrapped())"),
    "export": _transformed("torch.export.export(Wrapped(), ({x}, h0)).module()"),
    "compile": _transformed('torch.compile(Wrapped(), backend="eager")'),
    "vmap": vmap,
}
