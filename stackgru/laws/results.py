"""Laws of results: how output and hn lie in memory, and the graph that they are part of."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stackgru.cases.strategies import WHOLE
from stackgru.harness.judge import Called, Seen
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.plain import backward, gradients_of, leaf_of, memory_of, seeded
from stackgru.laws.registry import law
from stackgru.outcomes import NotApplicable

_CALLED = tuple(name for name in WHOLE if name != "grad")


def _own_results(pair: Pair) -> None:
    """Raise NotApplicable if what a call gives is not the target's own."""
    convention = pair.target.convention
    if (convention.state, convention.returns) != ("stacked", "output, state"):
        raise NotApplicable("output and hn are put together by the target's convention")


@law(
    "conduct",
    {"min_batch": 1, "max_steps": 3, "choices": (*WHOLE, "arguments", "trained")},
    question="conduct",
    needs=_own_results,
)
def results(
    target: Called, reference: Called, x: Tensor, h0: Tensor, batch_first: bool, trained: bool
) -> Iterator[Seen]:
    """Output and hn are as nn.GRU's in more than values: their memory and their graph.

    They are contiguous where its are, require gradients where its do, and share no memory with each
    other, the arguments, a parameter or the results of an earlier call.
    """
    for module in (target, reference):
        module.requires_grad_(trained)
    found, right = target(x, h0), reference(x, h0)
    for name, own, other in zip(("output", "hn"), found, right, strict=True):
        yield f"{name}.requires_grad", own.requires_grad, other.requires_grad
        yield f"{name}.is_leaf", own.is_leaf, other.is_leaf
        yield f"{name}.is_inference()", own.is_inference(), other.is_inference()
        if other.is_contiguous() and not batch_first:
            yield f"{name}.is_contiguous()", own.is_contiguous(), True
    raw: list[Tensor] = []
    module = getattr(target, "module", target)
    handle = module.register_forward_hook(lambda module, given, found: raw.extend(found))
    again = target(x, h0)
    handle.remove()
    kept = [getattr(one, "retains_grad", False) for one in raw]
    yield "whether results keep their gradients", kept, [False for _ in kept]
    held = {"the input": x, "h0": h0, **dict(target.named_parameters())}
    held |= {"the output of an earlier call": found[0], "hn of an earlier call": found[1]}
    for name, own in zip(("output", "hn"), again, strict=True):
        same = [other for other, value in held.items() if memory_of(value) == memory_of(own)]
        yield f"what {name} shares memory with", same, []
        held["output"] = own


def second_pass(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A second pass through a graph that was kept, also after a call in inference mode."""
    with torch.inference_mode():
        target(x.clone(), h0.clone())
    with torch.enable_grad():
        x, h0 = leaf_of(x), leaf_of(h0)
        leaves = [x, h0, *target.parameters()]
        found = seeded(target, x, h0, seed)
        first = gradients_of(found, leaves)
        yield "gradients by a second pass", gradients_of(found, leaves), first


def pass_after_another(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A pass after that of another call."""
    with torch.enable_grad():
        x, h0 = leaf_of(x), leaf_of(h0)
        leaves = [x, h0, *target.parameters()]
        first = gradients_of(seeded(target, x, h0, seed), leaves)
        found = seeded(target, x, h0, seed)
        backward(target(leaf_of(x) + 1, h0))
        yield "gradients after another call's", gradients_of(found, leaves), first


def pass_negated(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A pass through results that were negated in place gives the gradients negated."""
    with torch.enable_grad():
        x, h0 = leaf_of(x), leaf_of(h0)
        leaves = [x, h0, *target.parameters()]
        first = gradients_of(seeded(target, x, h0, seed), leaves)
        found = seeded(target, x, h0, seed)
        for result in found:
            result.neg_()
        negated = [grad if grad is None else -grad for grad in first]
        yield "gradients of results negated in place", gradients_of(found, leaves), negated


def pass_added(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A pass adds to the gradients that are there."""
    with torch.enable_grad():
        x, h0 = leaf_of(x), leaf_of(h0)
        leaves = [leaf for leaf in (x, h0, *target.parameters()) if leaf.requires_grad]
        first = gradients_of(seeded(target, x, h0, seed), leaves)
        for leaf in leaves:
            leaf.grad = torch.ones_like(leaf)
        backward(seeded(target, x, h0, seed))
        grads = zip(leaves, first, strict=True)
        added = [torch.ones_like(leaf) if grad is None else 1 + grad for leaf, grad in grads]
        yield "gradients added to ones", [leaf.grad for leaf in leaves], added


@law(
    "conduct",
    {"min_batch": 1, "max_layers": 4, "max_steps": 4, "choices": _CALLED},
    question="gradients",
    share=0.6,
    needs=_own_results,
    parts=(second_pass, pass_after_another, pass_negated, pass_added),
)
def passes() -> None:
    """A backward pass gives the same gradients whenever it is made, bit for bit.

    After a call in inference mode, again through a graph that was kept, after another call, and,
    negated, through results that were negated in place. It adds to gradients that are there.
    """


@law(
    "conduct",
    {"mode": "train", "partial": True, "min_batch": 1, "max_steps": 3, "choices": _CALLED},
    question="gradients",
    needs=lambda pair: pair.assert_own_parameters(),
    share=0.6,
)
def parameters(target: Called, reference: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """It has as many parameters as nn.GRU, which require gradients and get them in one pass."""
    numbers = [sum(one.numel() for one in module.parameters()) for module in (target, reference)]
    yield "numbers in all parameters", numbers[0], numbers[1]
    named = dict(target.named_parameters())
    frozen = [name for name, one in named.items() if not one.requires_grad]
    yield "parameters that require no gradients", frozen, []
    with torch.enable_grad():
        backward(target(x, h0))
    left = [name for name, one in named.items() if one.grad is None]
    yield "parameters that got no gradient", left, []
