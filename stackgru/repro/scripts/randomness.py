"""Scripts of randomness and divergence: random numbers drawn, and results that must differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stackgru.gru.parameters import parameter_label
from stackgru.repro.scripts.context import Candidate, ScriptContext, own_leaf
from stackgru.repro.scripts.plain import by_steps, plain


def same_draws(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the next random number after a call of both from one seed."""
    own, reference = _called(context), ["reference(x, h0)"]
    if context.is_cell and context.case.seq_len > 1:
        reference = by_steps(context, "state", "reference", "hn")
    number = "torch.rand(1).item()  # the next random number"
    yield Candidate(
        (
            *context.seeded(*own, f"observed = {number}", always=True),
            *context.seeded(*reference, f"expected = {number}", always=True),
        ),
        allowed=None,
    )


def _called(context: ScriptContext) -> list[str]:
    """Return lines that call the target and ignore its results."""
    if context.is_cell and context.case.seq_len > 1:
        return by_steps(context, "state", context.called, "hn")
    return [context.run()]


def no_draws(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the next random number after a call that must draw none."""
    for module, number in (("torch", "torch.rand(1).item()"), ("random", "random.random()")):
        seeded = (
            f"torch.manual_seed({context.case.seed})" if module == "torch" else "random.seed(0)"
        )
        yield Candidate(
            (
                seeded,
                *_called(context),
                f"observed = {number}  # the next random number",
                seeded,
                f"expected = {number}  # from the same seed, without a call",
            ),
            allowed=None,
            imports=() if module == "torch" else ("random",),
        )


def repeatable(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a second run from one seed, with other calls in between."""
    mode = "train" if context.case.mode == "eval" else "eval"
    between = [
        [],
        [context.run(x="x + 1")],
        [context.run(x="x[:, :1]", h0="h0[:, :1]")],
        [f"target.{mode}()", context.run(), f"target.{context.case.mode}()"],
    ]
    for calls in (*between, [line for lines in between for line in lines]):
        for name in ("observed, _", "_, observed"):
            yield Candidate(
                (
                    *context.seeded(f"{name.replace('observed', 'expected')} = {context.run()}"),
                    *calls,
                    *context.seeded(f"{name} = {context.run()}"),
                )
            )
    yield Candidate(
        (
            *context.seeded(f"_, expected = {context.run()}"),
            "for _ in range(1000):",
            *(f"    {line}" for line in context.seeded(f"_, observed = {context.run()}")),
            "    if not torch.equal(observed, expected):",
            "        break",
        )
    )


def seed_matters(context: ScriptContext) -> Iterator[Candidate]:
    """Yield whether two seeds give the same result, compared with nn.GRU."""
    yield from plain(context)
    seeds = context.case.seed, (context.case.seed + 1) % 2**64
    lines = []
    for name, run in (("observed", context.run()), ("expected", "reference(x, h0)")):
        for result, seed in zip(("first", "second"), seeds, strict=True):
            lines += [f"torch.manual_seed({seed})", f"_, {result} = {run}"]
        lines.append(f"{name} = torch.equal(first, second)  # the same result?")
    yield Candidate(tuple(lines), allowed=None)
    yield from same_draws(context)


def mode_matters(context: ScriptContext) -> Iterator[Candidate]:
    """Yield whether training and eval give the same result, compared with nn.GRU."""
    yield from plain(context)
    for part in ("result, _", "_, result"):
        lines = []
        for name, module, run in (
            ("observed", "target", context.run()),
            ("expected", "reference", "reference(x, h0)"),
        ):
            for result, mode in (("first", "train"), ("second", "eval")):
                lines += [
                    f"{module}.{mode}()",
                    *context.seeded(f"{part.replace('result', result)} = {run}", always=True),
                ]
            lines.append(f"{name} = torch.equal(first, second)  # the same result?")
        yield Candidate(tuple(lines), allowed=None)


def mask_count(context: ScriptContext) -> Iterator[Candidate]:
    """Yield results, or the next random number, from one seed."""
    yield from plain(context)
    yield from same_draws(context)


def everything_matters(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the number of parameters, and whether each change of an argument changes results."""
    yield Candidate(
        (
            "observed = sum(parameter.numel() for parameter in target.parameters())",
            "expected = sum(parameter.numel() for parameter in reference.parameters())",
        ),
        allowed=None,
    )
    yield from plain(context)
    pair = context.pair()
    changes = [("x", "x"), ("h0", "h0")]
    for layer, weights in enumerate(pair.layers):
        for name in weights:
            own = own_leaf(parameter_label(name, layer))
            changes.append((own, f"reference.{name}_l{layer}"))
    for own, right in changes:
        lines = []
        for name, run, change in (
            ("observed", context.run(), own),
            ("expected", "reference(x, h0)", right),
        ):
            lines += [
                f"changed = {change}",
                f"_, before = {run}",
                "changed.data += 1",
                f"_, after = {run}",
                f"{name} = torch.equal(before, after)  # whether a change makes no difference",
            ]
        yield Candidate(tuple(lines), allowed=None)


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {
    "same-draws": same_draws,
    "no-draws": no_draws,
    "repeatable": repeatable,
    "seed-matters": seed_matters,
    "mask-count": mask_count,
    "same-masks": mask_count,
    "mode-matters": mode_matters,
    "everything-matters": everything_matters,
}
