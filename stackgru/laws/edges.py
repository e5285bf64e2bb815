"""Laws of values at the edges of what nn.GRU takes."""

from __future__ import annotations

import torch

from stackgru.harness.pair import Pair
from stackgru.laws.helpers.values import unroll
from stackgru.laws.registry import law
from stackgru.outcomes import Violation
from stackgru.targets.importing import named


@law("values", {"max_batch": 0, "max_steps": 3})
def empty_batch(pair: Pair) -> None:
    """An empty batch gives empty results of nn.GRU's shapes and dtypes, and draws nothing.

    A backward pass through it gives no gradient but zeros.
    """
    input, h0 = pair.input.clone().requires_grad_(), pair.h0.clone().requires_grad_()
    pair.seed()
    before = pair.generator_state()
    with torch.enable_grad():
        run = unroll(pair, input, h0)
        if not torch.equal(before, pair.generator_state()):
            raise Violation("for an empty batch torch's generator has moved")
        try:
            (run.outputs.sum() + run.hn.sum()).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise Violation(f"a backward pass through an empty batch: {named(error)}") from error
    for name, tensor in {**pair.weights.leaves, "input": input, "h0": h0}.items():
        if tensor.grad is not None and bool(tensor.grad.any()):
            raise Violation(f"the gradient of {name} for an empty batch is not zeros")
