"""Scripts of randomness and divergence: random numbers drawn, and results that must differ."""

from __future__ import annotations

from collections.abc import Iterator

from stackgru.cases.case import Case
from stackgru.gru.parameters import parameter_label
from stackgru.options import FULL_PRECISION
from stackgru.repro.scripts.context import Candidate, ScriptContext, own_leaf
from stackgru.repro.scripts.plain import by_steps


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


def _shows_changes(case: Case) -> bool:
    """Whether no change is lost in rounding, on one side only."""
    is_usual = {case.weights, case.input, case.state} == {"usual"}
    return is_usual and case.dtype in FULL_PRECISION


def masked(context: ScriptContext) -> Iterator[Candidate]:
    """Yield whether two seeds, and whether two modes, give the same result as nn.GRU's do."""
    if context.case.drops and _shows_changes(context.case):
        yield _two_seeds(context)
        yield from _two_modes(context)


def _two_seeds(context: ScriptContext) -> Candidate:
    seeds = context.case.seed, (context.case.seed + 1) % 2**64
    lines = []
    for name, run in (("observed", context.run()), ("expected", "reference(x, h0)")):
        for result, seed in zip(("first", "second"), seeds, strict=True):
            lines += [f"torch.manual_seed({seed})", f"_, {result} = {run}"]
        lines.append(f"{name} = torch.equal(first, second)  # the same result?")
    return Candidate(tuple(lines), allowed=None)


def _two_modes(context: ScriptContext) -> Iterator[Candidate]:
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


def dependence(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the number of parameters, and whether each change of an argument changes results."""
    yield Candidate(
        (
            "observed = sum(parameter.numel() for parameter in target.parameters())",
            "expected = sum(parameter.numel() for parameter in reference.parameters())",
        ),
        allowed=None,
    )
    if context.case.mode == "train" or not _shows_changes(context.case):
        return
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
