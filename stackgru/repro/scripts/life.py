"""Scripts of a module's life, action by action."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stackgru.harness.reference import expected
from stackgru.laws.life import Life
from stackgru.outcomes import Violated
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt, own_build
from stackgru.repro.scripts.plain import reference_run


def life(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the last state, the parameters, or the error raised, after a life."""
    error = _bound(context)
    lines, imports = _lived(context)
    yield Candidate((*lines, "observed, expected = state, right"), error, imports=imports)
    yield Candidate(
        (*lines, *_step(context), "observed, expected = state, right"), error, imports=imports
    )
    of = "[parameter.tolist() for parameter in {}.parameters()]"
    yield Candidate(
        (*lines, f"observed = {of.format('target')}", f"expected = {of.format('reference')}"),
        allowed=None,
        imports=imports,
    )
    for dtypes in ("[parameter.dtype for parameter in {}.parameters()]",):
        yield Candidate(
            (
                *lines,
                f"observed = {dtypes.format('target')}",
                f"expected = {dtypes.format('reference')}",
            ),
            allowed=None,
            imports=imports,
        )
    if imports:  # a copy was made
        yield Candidate(
            (
                *_lived(context, watching=True)[0],
                "observed = [parameter.tolist() for parameter in left.parameters()]",
                "expected = values  # of the copied module, when it was copied",
            ),
            allowed=None,
            imports=imports,
        )
    grads = "[parameter.grad.dtype for parameter in {}.parameters()]"
    yield Candidate(
        (
            *lines,
            "(target(x[0], state)[1].sum() + reference(x, right)[1].sum()).backward()",
            f"observed = {grads.format('target')}",
            f"expected = {grads.format('reference')}",
        ),
        allowed=None,
        imports=imports,
    )
    yield Candidate(
        (
            *attempt('"alive"', *lines, *_step(context)),
            'expected = "alive"  # as for nn.GRU',
        ),
        allowed=None,
        imports=imports,
    )


def _bound(context: ScriptContext) -> float:
    """Return the bound of the last step that the target completes."""
    lived = Life(context.pair())
    bound = _of_a_step(lived)
    with contextlib.suppress(Violated):
        for action in filter(None, context.case.actions.split(",")):
            lived.do(action)
            bound = _of_a_step(lived)
    return bound


def _of_a_step(lived: Life) -> float:
    _, masks = reference_run(lived.pair, by_steps=False)
    return float(2 * expected(lived.pair, masks).hn.error.max())


_LEFT = ("left = target", "values = [parameter.tolist() for parameter in left.parameters()]")


def _step(context: ScriptContext) -> list[str]:
    if context.is_cell:
        return [
            *context.seeded("_, state = target(x[0], state)", always=True),
            *context.seeded("_, right = reference(x, right)", always=True),
        ]
    return [
        *context.seeded("_, state = target(x, state)", always=True),
        *context.seeded("_, right = reference(x, right)", always=True),
    ]


def _lived(context: ScriptContext, *, watching: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines of a life, and the modules that they import."""
    left = _LEFT if watching else ()
    lines = ["state = right = h0"]
    dtype, mode, imports = context.case.dtype, context.case.mode, set()
    for action in filter(None, context.case.actions.split(",")):
        if action == "step":
            lines += _step(context)
        elif action in ("train", "eval"):
            mode = action
            lines.append(f"target.{action}(), reference.{action}()")
        elif action == "deepcopy":
            imports.add("copy")
            lines += [*left, "target = copy.deepcopy(target)"]
        elif action == "pickle":
            imports.add("pickle")
            lines += [*left, "target = pickle.loads(pickle.dumps(target))"]
        elif action == "state_dict":
            lines += [
                f"fresh = {own_build()}.to(torch.{dtype}).train({mode == 'train'})",
                "fresh.load_state_dict(target.state_dict())",
                "target = fresh",
            ]
        elif action == "to":
            dtype = "float32" if dtype == "float64" else "float64"
            lines += [
                f"target, reference = target.to(torch.{dtype}), reference.to(torch.{dtype})",
                f"x, state, right = x.to(torch.{dtype}), state.to(torch.{dtype}), "
                f"right.to(torch.{dtype})",
            ]
        else:  # optimise
            run = context.run(h0="state.detach()")
            lines += [
                f"output, hn = {run}",
                "target.zero_grad()",
                "(output.sum() + hn.sum()).backward()",
                "for own, other in zip(target.parameters(), reference.parameters()):",
                "    other.grad = own.grad.clone()",
                "for module in (target, reference):",
                "    torch.optim.SGD(module.parameters(), lr=0.125).step()",
            ]
    return lines, tuple(sorted(imports))
