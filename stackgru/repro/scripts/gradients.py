"""Scripts of derivatives of sums of the target's and nn.GRU's results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from stackgru.bounds import backward
from stackgru.bounds.rounding import allowed
from stackgru.gru.parameters import gru_layers
from stackgru.harness.reference import expected
from stackgru.laws.helpers.autograd import Grads, Tape, by_name, network_for, thawed_leaves
from stackgru.laws.helpers.autograd import taped as taped_run
from stackgru.outcomes import Violated
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt
from stackgru.repro.scripts.plain import reference_run
from stackgru.repro.scripts.tapes import (
    LOSSES,
    by_steps_text,
    differentiated_text,
    first_derivatives,
    ones_along,
    own_text,
    reference_call,
    right_text,
    second_derivatives_of,
    target_call,
    thawing,
)
from stackgru.targets.weights import DirectWeights


def derivatives(context: ScriptContext) -> Iterator[Candidate]:
    """Yield derivatives that differ: gradients, then second and forward-mode derivatives."""
    yield from _gradients(context)
    yield from _second_derivatives(context)
    yield from _forward_mode(context)
    yield from _trained(context)


def _gradients(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the gradients that differ, of sums of output and hn, with what the case freezes."""
    frozen: list[str] = []
    if context.case.frozen:
        pair = context.pair()
        thawed = thawed_leaves(pair)
        frozen = [name for name in ("input", "h0", *pair.weights.leaves) if name not in thawed]
    freeze = [f"{own_text(name)}.requires_grad_(False)" for name in frozen]
    for loss, (of_output, of_hn) in LOSSES.items():
        yield from _parted(
            context,
            loss,
            partial(first_derivatives, factors=(of_output, of_hn)),
            lambda network, ones: backward.gradients(network, *ones),
            (of_output, of_hn),
            freeze,
            frozen,
        )
    yield from _raises(context, freeze, frozen)
    yield from flags(context)


def _second_derivatives(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the second derivatives that differ, along a direction of ones."""
    for loss, factors in LOSSES.items():
        yield from _parted(
            context,
            loss,
            partial(second_derivatives_of, factors=factors),
            lambda network, ones: backward.second_derivatives(network, ones_along(network), *ones),
            factors,
            [],
            (),
            twice=True,
        )
    yield from _raises(context, [], (), twice=True)


def _forward_mode(context: ScriptContext) -> Iterator[Candidate]:
    """Yield whether forward-mode derivatives can be computed, and by the weights are zero."""
    if not hasattr(torch, "func"):
        return
    yield Candidate(
        (
            "def call(x):",
            f"    return {context.run()}[1]",
            "",
            *attempt('"a derivative"', "torch.func.jvp(call, (x,), (torch.ones_like(x),))"),
            'expected = "a derivative"  # as for nn.GRU',
        ),
        allowed=None,
    )
    if context.target.convention.needs_adapter:
        return
    yield Candidate(
        (
            "weights = dict(target.named_parameters())",
            f"gradients = torch.autograd.grad({context.run()}[1].sum(), list(weights.values()))",
            "signs = {name: one.sign() for name, one in zip(weights, gradients)}",
            "",
            "def total(weights):",
            "    def held(x, state):",
            "        return torch.func.functional_call(target, weights, (x, state))",
            "",
            f"    return {context.run('held')}[1].sum()",
            "",
            "_, derivative = torch.func.jvp(total, (weights,), (signs,))",
            "observed = derivative.item() != 0  # the sum of the gradients' absolute values",
            "expected = any(one.any().item() for one in gradients)",
        ),
        allowed=None,
    )


def _trained(context: ScriptContext) -> Iterator[Candidate]:
    """Yield results after steps of an optimiser."""
    pair = context.pair()
    outputs, hn = target_call(pair, pair.input, pair.h0)
    (outputs.sum() + hn.sum()).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(pair.module.parameters(), lr=0.125).step()
    allowed = float(2 * expected(pair, None).hn.error.max())
    if not pair.case.drops:
        yield Candidate(
            (
                f"output, hn = {context.run()}",
                "(output.sum() + hn.sum()).backward()",
                "torch.optim.SGD(target.parameters(), lr=0.125).step()",
                "with torch.no_grad():",
                "    for own, right in zip(target.parameters(), reference.parameters()):",
                "        right.copy_(own)",
                f"_, observed = {context.run()}  # after a step of SGD",
                "_, expected = reference(x, h0)  # with the target's new parameters",
            ),
            allowed,
        )
    yield Candidate(
        (
            "optimizer = torch.optim.SGD(target.parameters(), lr=0.125)",
            *attempt(
                '"trained"',
                "for _ in range(3):",
                f"    output, hn = {context.run()}",
                "    (output.sum() + hn.sum()).backward()",
                "    optimizer.step()",
            ),
            'expected = "trained"  # as nn.GRU is',
        ),
        allowed=None,
    )


def flags(context: ScriptContext) -> Iterator[Candidate]:
    """Yield which parameters require gradients, before and after a call."""
    freeze = ["for parameter in target.parameters():", "    parameter.requires_grad_(False)"]
    for first in ((), freeze):
        yield Candidate(
            (
                *first,
                "expected = [parameter.requires_grad for parameter in target.parameters()]",
                context.run(),
                "observed = [parameter.requires_grad for parameter in target.parameters()]",
            ),
            allowed=None,
        )


def trainable(context: ScriptContext) -> Iterator[Candidate]:
    """Yield which parameters require gradients, compared with nn.GRU's."""
    yield Candidate(
        (
            "observed = [parameter.requires_grad for parameter in target.parameters()]",
            "expected = [parameter.requires_grad for parameter in reference.parameters()]",
        ),
        allowed=None,
    )


def _parted(
    context: ScriptContext,
    loss: str,
    differentiate: Callable[[Tape], Grads],
    bounds_of: Callable[..., backward.Gradients],
    factors: tuple[float, float],
    freeze: Sequence[str],
    frozen: Sequence[str],
    *,
    twice: bool = False,
) -> Iterator[Candidate]:
    """Yield a candidate for every leaf whose derivatives differ by more than rounding."""
    pair = context.pair()
    names = ["input", "h0", *pair.weights.leaves]
    thawed = [name for name in names if name not in frozen]
    by_steps = context.is_cell and pair.case.drops and pair.case.seq_len > 1
    _, masks = reference_run(pair, by_steps=by_steps)
    try:
        pair.seed()
        own = differentiate(taped_run(pair, pair.weights, partial(target_call, pair), thawed))
        pair.seed()
        right = differentiate(
            taped_run(
                pair,
                DirectWeights(gru_layers(pair.reference)),
                reference_call(pair, by_steps),
                thawed,
            )
        )
    except (RuntimeError, Violated):
        return
    case = pair.case
    shapes = (case.seq_len, case.batch, case.directions * case.hidden_size), case.state_shape
    ones = [
        torch.full(shape, factor, dtype=torch.float64)
        for shape, factor in zip(shapes, factors, strict=True)
    ]
    found = bounds_of(network_for(pair, masks), ones)
    bounds = by_name(found.input, found.h0, found.layers)
    for name, value in pair.weights.to_layers(own).items():
        error = float(2 * allowed(bounds[name], pair.case.torch_dtype).max())
        difference = (value.double() - right[name].double()).abs()
        if error == float("inf") or bool((difference <= error).all()):
            continue
        lines = [*freeze, *thawing(context.case, thawed, twice)]
        given = ["x * 1", "h0 * 1"] if pair.case.arguments == "results" else ["x", "h0"]
        for result, module, run in (
            ("observed", "target", context.run(x=given[0], h0=given[1])),
            ("expected", "reference", f"reference({', '.join(given)})"),
        ):
            leaf = own_text(name) if module == "target" else right_text(name)
            stepwise = by_steps and module == "reference"
            lines_of_call = by_steps_text() if stepwise else [f"output, hn = {run}"]
            lines += context.seeded(*lines_of_call)
            lines += differentiated_text(result, loss, leaf, module, twice=twice)
        yield Candidate(tuple(lines), error)


def _raises(
    context: ScriptContext, freeze: Sequence[str], frozen: Sequence[str], *, twice: bool = False
) -> Iterator[Candidate]:
    pair = context.pair()
    thawed = [name for name in ("input", "h0", *pair.weights.leaves) if name not in frozen]
    leaves = ", ".join(own_text(name) for name in thawed)
    for loss in reversed(LOSSES):
        second = [
            f"first = torch.autograd.grad({loss}, [{leaves}], create_graph=True)",
            f"torch.autograd.grad(sum(grad.sum() for grad in first), [{leaves}])",
        ]
        once = [f"torch.autograd.grad({loss}, [{leaves}], allow_unused=True)"]
        yield Candidate(
            (
                *freeze,
                *thawing(context.case, thawed, twice),
                *attempt(
                    '"gradients"',
                    *context.seeded(f"output, hn = {context.run()}"),
                    *(second if twice else once),
                ),
                'expected = "gradients"  # as for nn.GRU',
            ),
            allowed=None,
        )
