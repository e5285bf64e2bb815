"""What the laws of gradients share: runs of target and nn.GRU that can be differentiated."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from stackgru.bounds.backward import Direction, Gradients
from stackgru.bounds.forward import StackInputs
from stackgru.bounds.rounding import allowed
from stackgru.cases.tensors import generator
from stackgru.gru.parameters import gru_layers, gru_name, parameter_label
from stackgru.harness.pair import Pair
from stackgru.harness.reference import reference_masks
from stackgru.laws.helpers.values import under_masks, unroll
from stackgru.outcomes import Violated
from stackgru.targets.importing import describe_error
from stackgru.targets.weights import DirectWeights, by_label

Grads = dict[str, Tensor]


@dataclass(frozen=True)
class Tape:
    """A run that can be differentiated.

    Attributes:
        leaves: what it can be differentiated by: "input", "h0", "weight_ih of layer 0", ...
        weights: how the layers' weights lie in them.
        outputs: (T, B, H).
        hn: (L, B, H).
    """

    leaves: Grads
    weights: DirectWeights
    outputs: Tensor
    hn: Tensor


def assert_same(
    pair: Pair,
    differentiate: Callable[[Tape], Grads],
    bounds_of: Callable[[StackInputs], Gradients],
    what: str,
    *,
    thawed: Sequence[str] | None = None,
) -> None:
    """Raise a violation if the target's derivatives are not nn.GRU's, under the same masks."""
    __tracebackhide__ = True
    reference = DirectWeights(gru_layers(pair.reference))
    wanted = None if thawed is None else pair.weights.weights_in(thawed)
    masks = reference_masks(pair)
    pair.seed()
    expected = differentiate(taped(pair, reference, pair.call_reference, wanted))
    found = bounds_of(network_for(pair, masks))
    bounds = by_name(found.input, found.h0, found.layers)

    def call(input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        run = unroll(pair, input, h0)
        return run.outputs, run.hn

    def run() -> Grads:
        with as_violation("derivatives"):
            return differentiate(taped(pair, pair.weights, call, thawed))

    def compare(own: Grads) -> None:
        right = pair.weights.to_parameters(expected)
        right = pair.weights.to_layers({name: right[name] for name in own if name in right})
        for name, value in pair.weights.to_layers(own).items():
            if name not in right:
                raise Violated(f"{name} is trained; nn.GRU has none here")
            error = 2 * allowed(bounds[name], pair.case.torch_dtype)
            pair.within(value, right[name], error, f"{what} {name}")

    under_masks(pair, masks, run, compare)


def taped(
    pair: Pair, weights: DirectWeights, call: Callable[..., Any], thawed: Sequence[str] | None
) -> Tape:
    """Call target or nn.GRU with gradients of the thawed leaves only; of all of them if None."""
    leaves = {"input": pair.input.clone(), "h0": pair.h0.clone(), **weights.leaves}
    if pair.case.arguments == "parameters":
        leaves |= {name: nn.Parameter(leaves[name]) for name in ("input", "h0")}
    wanted = {name: leaf for name, leaf in leaves.items() if thawed is None or name in thawed}
    with torch.enable_grad():
        for name, leaf in leaves.items():
            leaf.requires_grad_(name in wanted)
        given = [leaves["input"], leaves["h0"]]
        if pair.case.arguments == "results":
            given = [leaf * 1 for leaf in given]
        outputs, hn = call(*given)
    for name, leaf in leaves.items():
        if leaf.requires_grad != (name in wanted):
            raise Violated(f"a call changes requires_grad of {name}")
    return Tape(wanted, weights, outputs, hn)


def grad_of(tape: Tape, outputs: Tensor, hn: Tensor, **keywords: bool) -> Grads:
    """Return the gradients of a combination of the results; factors of zero leave one out."""
    results = [(tape.outputs, outputs), (tape.hn, hn)]
    results = [(value, factor) for value, factor in results if bool(factor.any())]
    values, factors = zip(*results, strict=True)
    return differentiated(tape.leaves, values, factors, **keywords)


def differentiated(
    leaves: Grads, values: Sequence[Tensor], factors: Sequence[Tensor], **keywords: bool
) -> Grads:
    """Return gradients by name; zeros for leaves that nothing flows to."""
    found = torch.autograd.grad(
        values, list(leaves.values()), factors, allow_unused=True, **keywords
    )
    return {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }


def accumulated(tape: Tape, outputs: Tensor, hn: Tensor) -> Grads:
    """Return gradients as training computes them, accumulated in every leaf's grad."""
    for leaf in tape.leaves.values():
        leaf.grad = None
    torch.autograd.backward([tape.outputs, tape.hn], [outputs, hn])
    return {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for name, leaf in tape.leaves.items()
    }


@contextmanager
def as_violation(what: str) -> Iterator[None]:
    """Turn an error of torch during differentiation into a violation."""
    try:
        yield
    except RuntimeError as error:
        raise Violated(f"{what} raised {describe_error(error)}; nn.GRU has them") from error


def is_of_checkpointing(error: BaseException | None) -> bool:
    """Whether a function of torch's own that recomputes raised, and not what is recomputed."""
    steps = traceback.walk_tb(error.__traceback__ if error else None)
    files = [frame.f_code.co_filename for frame, _ in steps]
    while files and files[-1] != checkpoint.__file__:
        following = files.pop()
        if checkpoint.__file__ in files[-1:]:
            return following == torch.autograd.function.__file__
    return bool(files)  # it goes on in C


def network_for(pair: Pair, masks: Tensor | None) -> StackInputs:
    """Return the inputs of the bounds: these masks and the target's current parameters."""
    case = pair.case
    layers = [{name: value.detach() for name, value in layer.items()} for layer in pair.layers]
    scale, dtype, active = case.dropout_scale, case.torch_dtype, pair.form.active
    return StackInputs(pair.input, pair.h0, layers, masks, scale, dtype, case.directions, active)


def combination(pair: Pair, name: str = "") -> tuple[Tensor, Tensor, str]:
    """Return factors of outputs and hn, and a name of their combination: one of them, or both."""
    case = pair.case
    shape = *pair.input.shape[:2], case.directions * case.hidden_size
    outputs = noise(pair, f"factors of outputs {name}", shape)
    hn = pair.shown(noise(pair, f"factors of hn {name}", pair.h0.shape))
    if case.loss == "both":
        return outputs, hn, "output and hn"
    if case.loss == "output":
        return outputs, torch.zeros_like(hn), "output alone"
    return torch.zeros_like(outputs), hn, "hn alone"


def thawed_leaves(pair: Pair) -> list[str]:
    """Return the target's leaves of which the case leaves any part to be differentiated."""
    is_used = pair.takes_state and pair.case.h0 == "given"
    named = ["input", *(["h0"] if is_used else [])]
    frozen = pair.case.frozen.split(",")
    labels = {
        parameter_label(name, layer)
        for layer, weights in enumerate(pair.layers)
        for name in weights
        if gru_name(name, layer, pair.case.directions) not in frozen
    }
    leaves = [leaf for leaf in pair.weights.leaves if labels & {*pair.weights.weights_in([leaf])}]
    return [*(name for name in named if name not in frozen), *leaves]


def direction_for(pair: Pair) -> Direction:
    """Return a random direction, fixed by the case."""
    layers = [
        {name: noise(pair, f"{name} {index}", value.shape) for name, value in layer.items()}
        for index, layer in enumerate(pair.layers)
    ]
    input, h0 = (noise(pair, name, getattr(pair, name).shape) for name in ("input", "h0"))
    return Direction(input, pair.taken(h0), pair.weights.representable(layers))


def noise(pair: Pair, name: str, shape: Sequence[int]) -> Tensor:
    """Return normal random numbers of this shape, fixed by case and name."""
    numbers = torch.randn(shape, generator=generator(pair.case, f"toward {name}"))
    return numbers.to(pair.input)


def by_name(input: Any, h0: Any, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of input, h0 and every parameter, by name."""
    return {"input": input, "h0": h0, **by_label(layers)}


def axes_of(value: Tensor) -> tuple[str, ...]:
    """Return names of a tensor's axes for a place."""
    return tuple(f"axis {axis}" for axis in range(value.dim()))
