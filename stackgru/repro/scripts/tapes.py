"""What scripts of derivatives share: the texts of leaves, and derivatives of both modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stackgru.bounds.backward import Direction
from stackgru.bounds.forward import StackInputs
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.autograd import Grads, Tape, differentiated, grad_of
from stackgru.laws.helpers.values import unroll
from stackgru.repro.scripts.context import own_leaf

#: What is differentiated, and the factors of output and hn in it.
LOSSES = {
    "hn.sum()": (0.0, 1.0),
    "output.sum()": (1.0, 0.0),
    "(output.sum() + hn.sum())": (1.0, 1.0),
}


def thawing(case: Case, thawed: Sequence[str], twice: bool) -> list[str]:
    """Return lines that let input and h0 require gradients, if they are to be differentiated."""
    names = {"input": "x", "h0": "h0"}
    made = "{0} = nn.Parameter({0})" if case.arguments == "parameters" else "{0}.requires_grad_()"
    return [made.format(names[name]) for name in names if twice or name in thawed]


def own_text(name: str) -> str:
    """Return the text of one of the target's leaves."""
    return {"input": "x", "h0": "h0"}.get(name, own_leaf(name))


def right_text(name: str) -> str:
    """Return the text of one of nn.GRU's leaves."""
    if name in ("input", "h0"):
        return {"input": "x", "h0": "h0"}[name]
    weight, _, layer = name.partition(" of layer ")
    return f"reference.{weight}_l{layer}"


def target_call(pair: Pair, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """Call the target, a cell step by step, so that it can be differentiated."""
    run = unroll(pair, input, h0)
    return run.outputs, run.hn


def reference_call(pair: Pair, by_steps: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return a callable of nn.GRU, in one call or step by step."""

    def call(input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x in input:
            output, h0 = pair.reference(x[None], h0)
            outputs.append(output)
        return torch.cat(outputs), h0

    return call if by_steps else pair.reference


def by_steps_text() -> list[str]:
    """Return lines that call nn.GRU step by step."""
    return [
        "outputs, hn = [], h0",
        "for step in x:",
        "    output, hn = reference(step[None], hn)",
        "    outputs.append(output)",
        "output = torch.cat(outputs)",
    ]


def first_derivatives(tape: Tape, factors: tuple[float, float]) -> Grads:
    """Return the gradients of output and hn, summed with these factors."""
    outputs, hn = (
        torch.full_like(value, factor)
        for value, factor in zip((tape.outputs, tape.hn), factors, strict=True)
    )
    return grad_of(tape, outputs, hn)


def second_derivatives_of(tape: Tape, factors: tuple[float, float]) -> Grads:
    """Return the gradients of the sum of those gradients."""
    outputs, hn = (
        torch.full_like(value, factor)
        for value, factor in zip((tape.outputs, tape.hn), factors, strict=True)
    )
    first = list(grad_of(tape, outputs, hn, create_graph=True).values())
    first = [grad for grad in first if grad.requires_grad]
    if not first:
        return {name: torch.zeros_like(leaf) for name, leaf in tape.leaves.items()}
    return differentiated(tape.leaves, first, [torch.ones_like(grad) for grad in first])


def ones_along(network: StackInputs) -> Direction:
    """Return the direction of ones in every leaf."""
    layers = [
        {name: torch.ones_like(value) for name, value in layer.items()} for layer in network.layers
    ]
    return Direction(torch.ones_like(network.input), torch.ones_like(network.h0), layers)


def differentiated_text(
    result: str, loss: str, leaf: str, module: str, *, twice: bool
) -> list[str]:
    """Return lines that differentiate a loss of a module's results with respect to a leaf."""
    if not twice:
        return [
            f"(grad,) = torch.autograd.grad({loss}, {leaf}, allow_unused=True)",
            f"{result} = torch.zeros_like({leaf}) if grad is None else grad",
        ]
    return [
        f"leaves = [x, h0, *{module}.parameters()]",
        f"first = torch.autograd.grad({loss}, leaves, create_graph=True, allow_unused=True)",
        "total = sum(grad.sum() for grad in first if grad is not None)",
        f"(grad,) = torch.autograd.grad(total, {leaf}, allow_unused=True)",
        f"{result} = torch.zeros_like({leaf}) if grad is None else grad",
    ]
