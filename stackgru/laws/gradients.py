"""Laws of gradients: from output and hn back to input, h0 and every parameter.

How far two correct gradients may differ is derived in stackgru.bounds.backward.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.bounds import backward
from stackgru.bounds.backward import Direction
from stackgru.bounds.rounding import allowed
from stackgru.gru.parameters import gru_layers
from stackgru.harness.pair import Pair, TargetRaised
from stackgru.harness.reference import reference_masks
from stackgru.laws.helpers.autograd import (
    Grads,
    Tape,
    accumulated,
    as_violation,
    assert_same,
    by_name,
    combination,
    differentiated,
    direction_for,
    grad_of,
    is_of_checkpointing,
    network_for,
    thawed_leaves,
)
from stackgru.laws.helpers.values import HN, OUTPUT, under_masks, unroll
from stackgru.laws.magnitudes import autocast_dtype, autocast_to
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, assert_equal
from stackgru.targets.importing import describe_error
from stackgru.targets.weights import DirectWeights

#: How the target is called, but for the grad mode.
_CALLED = ("form", "h0", "batch_first")
_WHOLE = (*_CALLED, "lengths", "bidirectional")
_SMALL = {"min_batch": 1, "max_layers": 4, "max_steps": 4}
_SMALLER = {"min_batch": 1, "max_batch": 3, "max_layers": 3, "max_steps": 3, "max_size": 12}


#: Which torch imports to check the shapes of gradients.
_prepare_backward = importing("torch.fx.experimental.symbolic_shapes")


@law(
    "gradients",
    *[{"min_batch": 1, "choices": (*_WHOLE, "arguments", "loss")}] * 5,
    # In half precision nothing is claimed of sums over so many units.
    {
        "min_batch": 1,
        "min_steps": 2,
        "large": "hidden_size",
        "dtypes": FULL_PRECISION,
        "choices": (*_WHOLE, "loss"),
    },
    question="gradients",
    decides="gradients",
    prepare=_prepare_backward,
)
def gradients(pair: Pair) -> None:
    """Under the same masks, the gradients of input, h0 and every parameter are nn.GRU's.

    What is differentiated is a random combination of output and hn, output alone, or hn alone.
    """
    outputs, hn, what = combination(pair)
    assert_same(
        pair,
        lambda tape: grad_of(tape, outputs, hn),
        lambda network: backward.gradients(network, outputs, hn),
        f"gradient of {what} with respect to",
    )


@law(
    "gradients",
    {**_SMALLER, "dtypes": ("float64",), "choices": (*_CALLED, "loss")},
    question="gradients",
    share=0.3,
    prepare=_prepare_backward,
)
def second_derivatives(pair: Pair) -> None:
    """Differentiated again along a direction, in float64, the gradients are nn.GRU's."""
    outputs, hn, what = combination(pair)
    direction = direction_for(pair)
    along = by_name(direction.input, direction.h0, direction.layers)

    def differentiate(tape: Tape) -> Grads:
        toward = tape.weights.to_parameters(along)
        first = grad_of(tape, outputs, hn, create_graph=True)
        parts = {
            name: value for name, value in first.items() if value.requires_grad and name in toward
        }
        if not parts:  # the target shows no curvature
            return {name: torch.zeros_like(leaf) for name, leaf in tape.leaves.items()}
        return differentiated(tape.leaves, list(parts.values()), [toward[name] for name in parts])

    assert_same(
        pair,
        differentiate,
        lambda network: backward.second_derivatives(network, direction, outputs, hn),
        f"second derivative of {what} with respect to",
    )


@law(
    "gradients",
    {**_SMALL, "dtypes": FULL_PRECISION, "choices": (*_WHOLE, "arguments", "frozen", "loss")},
    question="gradients",
    prepare=_prepare_backward,
)
def frozen(pair: Pair) -> None:
    """With any part of the parameters frozen, the gradients of the rest are nn.GRU's.

    Likewise if input or h0 do not require gradients.
    """
    outputs, hn, what = combination(pair)
    thawed = thawed_leaves(pair)
    if not thawed:  # the target has nothing but what is frozen
        return
    assert_same(
        pair,
        lambda tape: grad_of(tape, outputs, hn),
        lambda network: backward.gradients(network, outputs, hn),
        f"with others frozen, gradient of {what} with respect to",
        thawed=thawed,
    )


@law(
    "gradients",
    {**_SMALLER, "dtypes": FULL_PRECISION, "choices": ("batch_first",)},
    question="gradients",
    share=0.2,
    prepare=importing("torch.func", "torch._functorch.eager_transforms", "torch._dynamo"),
)
def forward_mode(pair: Pair) -> None:
    """Under the same masks, forward-mode derivatives of output and hn are nn.GRU's."""
    if not hasattr(torch, "func"):
        raise NotApplicable("this build of torch has no torch.func.jvp")
    if pair.is_scripted:
        raise NotApplicable("torch.func.functional_call refuses scripted modules")
    direction = direction_for(pair)
    masks = reference_masks(pair)
    pair.seed()
    try:
        expected = _pushed(
            pair, direction, pair.reference, DirectWeights(gru_layers(pair.reference))
        )
    except RuntimeError as error:
        raise NotApplicable(f"nn.GRU itself raised {describe_error(error)}") from error
    bounds = backward.tangents(network_for(pair, masks), direction)

    def run() -> tuple[Tensor, Tensor]:
        try:
            with as_violation("forward-mode derivatives"):
                return _pushed(pair, direction, pair.module, pair.weights)
        except TargetRaised as error:
            if is_of_checkpointing(error.__cause__):
                reason = "torch.utils.checkpoint has no forward-mode derivatives on this build"
                raise NotApplicable(reason) from error
            raise

    def compare(found: tuple[Tensor, Tensor]) -> None:
        rows = zip(("output", "hn"), (OUTPUT, HN), found, expected, bounds, strict=True)
        for name, axes, own, other, bound in rows:
            error = 2 * allowed(bound, pair.case.torch_dtype)
            pair.within(own, other, error, f"forward-mode derivative of {name}", axes)

    under_masks(pair, masks, run, compare)


@law(
    "gradients",
    {
        **_SMALL,
        "max_steps": 2,
        "max_size": 48,  # each update is a backward pass with its bound
        "dtypes": FULL_PRECISION,
        "choices": (*_WHOLE, "loss", "optimiser", "updates"),
    },
    question="gradients",
    share=0.5,
    prepare=importing("torch._dynamo"),  # for torch.optim
)
def training(pair: Pair) -> None:
    """Over steps of SGD or Adam, each step's gradients are nn.GRU's, and so are the parameters.

    Gradients are compared at the parameters that the previous step left, within the rounding of one
    step; the parameters are, bit for bit, those that these gradients lead to.
    """
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[pair.case.optimiser]
    own = kind(pair.module.parameters(), lr=0.125, foreach=False)
    others = gru_layers(pair.reference)
    followed = kind(pair.reference.parameters(), lr=0.125, foreach=False)
    for step in range(pair.case.updates):
        outputs, hn, what = combination(pair, f"step {step}")
        assert_same(
            pair,
            partial(accumulated, outputs=outputs, hn=hn),
            partial(backward.gradients, outputs=outputs, hn=hn),
            f"after {step} optimiser steps, gradient of {what} with respect to",
        )
        for grads, other in zip(pair.weights.grads(), others, strict=True):
            for name, parameter in other.items():
                grad = grads.get(name)
                parameter.grad = torch.zeros_like(parameter) if grad is None else grad.clone()
        own.step()
        followed.step()
        for index, (layer, other) in enumerate(zip(pair.layers, others, strict=True)):
            for name, parameter in layer.items():
                what = f"after {step + 1} optimiser steps: {name} of layer {index}"
                assert_equal(parameter, other[name], what=what)


@law(
    "gradients",
    {
        "mode": "eval",
        "seq_len": 1,
        "num_layers": 1,
        "min_batch": 1,
        "dtypes": ("float32",),
        "usual": True,
        "choices": ("autocast",),
    },
    question="gradients",
    share=0.3,
    prepare=_prepare_backward,
)
def autocast_gradients(pair: Pair) -> None:
    """Under autocast, a step's gradients are nn.GRU's without it, within the rounding of its dtype.

    The bound charges each operation with four roundings of the dtype, or more; doubled, it has room
    for the casts of both factors of a product.
    """
    if pair.is_scripted:
        raise NotApplicable("TorchScript casts scripted modules by rules of its own")
    outputs, hn = torch.ones_like(pair.h0), pair.shown(torch.ones_like(pair.h0))
    network = replace(network_for(pair, None), dtype=autocast_dtype(pair.case))
    found = backward.gradients(network, outputs, hn)
    right = by_name(found.input, found.h0, found.layers)
    leaves = {"input": pair.input.clone(), "h0": pair.h0.clone(), **pair.weights.leaves}
    for leaf in leaves.values():
        leaf.requires_grad_()
    with torch.enable_grad(), as_violation("gradients under autocast"):
        try:
            with autocast_to(pair):
                run = unroll(pair, leaves["input"], leaves["h0"])
        except TargetRaised as error:
            pair.refuse(f"under autocast {error}")
            return
        grads = differentiated(leaves, [run.outputs, run.hn], [outputs, hn])
    for name, value in pair.weights.to_layers(grads).items():
        what = f"under autocast, gradient of {name}"
        pair.within(value, right[name].value, 2 * right[name].error, what)


def _pushed(
    pair: Pair, direction: Direction, module: nn.Module, weights: DirectWeights
) -> tuple[Tensor, Tensor]:
    """Return the forward-mode derivatives of outputs and hn."""
    key_of = {id(value): key for key, value in module.named_parameters()}
    toward = weights.to_parameters(by_name(direction.input, direction.h0, direction.layers))
    leaves = {name: leaf for name, leaf in weights.leaves.items() if name in toward}
    keys = [key_of[id(leaf)] for leaf in leaves.values()]

    def call(input: Tensor, h0: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(keys, parameters, strict=True))

        def with_parameters(*arguments: Tensor) -> Any:
            return torch.func.functional_call(module, given, arguments)

        if module is pair.reference:
            return pair.form.of(with_parameters)(input, h0)  # type: ignore[no-any-return]
        run = unroll(pair, input, h0, with_parameters)
        return run.outputs, run.hn

    primals = pair.input, pair.h0, *(leaf.detach() for leaf in leaves.values())
    tangents = tuple(toward[name] for name in ("input", "h0", *leaves))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch scripts its own rules, and deprecates scripting
        found: tuple[Tensor, Tensor] = torch.func.jvp(call, primals, tangents)[1]
    return found
