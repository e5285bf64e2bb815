"""How far apart two right derivatives may be: the equation of a layer, differentiated by hand.

The forward pass is rounding.py's, with its bounds. The backward pass is written once, in an
arithmetic that propagates the bounds (arithmetic.py): on numbers it gives gradients, on numbers
with tangents the derivative of the gradients along a direction, that is the product of the matrix
of second derivatives and that direction. The tangents themselves are those of forward mode.

With G the gradient of the new state h' = (1 - z) n + z h, and p = W_hn h + b_hn::

    dn = G (1 - z)      da_n = dn (1 - n n)      dx = [da_r, da_z, da_n] W_i
    dz = G h - G n      da_z = dz z (1 - z)      dh = [da_r, da_z, da_n r] W_h + G z
                        da_r = da_n p r (1 - r)

and a weight's gradient is the sum over steps and rows of these times the weight's factor. G is
the sum of the gradients from the output, from the next step and from the layer above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Generic

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.arithmetic import Dual, N, Number
from stackgru.bounds.forward import StackInputs, Step, forward
from stackgru.bounds.rounding import Bounded, rows_in_direction
from stackgru.gru.parameters import PARAMETERS, Layer


@dataclass(frozen=True)
class Direction:
    """A tangent for the input (T, B, I), for h0 (L, B, H), and for every parameter."""

    input: Tensor
    h0: Tensor
    layers: Sequence[Layer]


@dataclass(frozen=True)
class Gradients:
    """Gradients with their bounds: of input (T, B, I), h0 (L, B, H), and every parameter."""

    input: Bounded
    h0: Bounded
    layers: Sequence[Mapping[str, Bounded]]


@torch.inference_mode()
def gradients(stack: StackInputs, outputs: Tensor, hn: Tensor) -> Gradients:
    """Return the gradients of the results' sum, weighted by ``outputs`` (T, B, H) and ``hn``."""
    form = stack.form
    steps = forward(stack)
    weights = [
        {name: Number.exact(value, form) for name, value in layer.items()} for layer in stack.layers
    ]
    return _collected(_backward(stack, steps, weights, outputs, hn), _bounded)


@torch.inference_mode()
def second_derivatives(
    stack: StackInputs, direction: Direction, outputs: Tensor, hn: Tensor
) -> Gradients:
    """Return the derivative of the gradients along a direction; see gradients."""
    steps, _, _ = _tangents(stack, direction)
    weights = [
        {name: Dual(*_exact(stack, layer[name], tangent[name])) for name in layer}
        for layer, tangent in zip(stack.layers, direction.layers, strict=True)
    ]
    found = _backward(stack, steps, weights, outputs, hn)
    return _collected(found, lambda dual: _bounded(dual.tangent))


@torch.inference_mode()
def tangents(stack: StackInputs, direction: Direction) -> tuple[Bounded, Bounded]:
    """Return the derivatives of outputs, (T, B, H), and hn, (L, B, H), along a direction."""
    _, outputs, hn = _tangents(stack, direction)
    return (
        rounding.stacked([_bounded(number) for number in outputs]),
        rounding.stacked([_bounded(number) for number in hn]),
    )


def _bounded(number: Number) -> Bounded:
    error = number.error.expand_as(number.value)
    return Bounded(number.value, error.masked_fill(error.isnan(), torch.inf))


def _exact(stack: StackInputs, *values: Tensor) -> list[Number]:
    return [Number.exact(value, stack.form) for value in values]


def _tangents(
    stack: StackInputs, direction: Direction
) -> tuple[list[Step[Dual]], list[Number], list[Number]]:
    """Return every layer's steps with their tangents, and the tangents of outputs and hn."""
    below = _exact(stack, *direction.input)
    hn, steps = [], []
    for layer, plain in enumerate(forward(stack)):
        (tangent,) = _exact(stack, direction.h0[layer])
        taken, above = [], []
        for t, x in enumerate(below):
            step = Step(*(getattr(plain, field.name)[t] for field in fields(Step)))
            dual, tangent = _tangent(stack, direction, layer, step, x, tangent)
            taken.append(dual)
            above.append(tangent)
            if stack.masks is not None and layer < len(stack.layers) - 1:
                above[-1] = tangent.where(stack.masks[layer][t], stack.scale)
        parts = [[getattr(dual, field.name) for dual in taken] for field in fields(Step)]
        steps.append(Step(*map(Dual.stack, parts)))
        hn.append(tangent)
        below = above
    return steps, below, hn


def _tangent(
    stack: StackInputs, direction: Direction, layer: int, step: Step[Number], x: Number, h: Number
) -> tuple[Step[Dual], Number]:
    """Return a step with its tangents, and the new state's tangent, from those of x and h."""
    sums = []
    for side, value, tangent in (("ih", step.x, x), ("hh", step.h, h)):
        weight, toward = _exact(
            stack,
            stack.layers[layer][f"weight_{side}"],
            direction.layers[layer][f"weight_{side}"],
        )
        total = tangent @ weight.T + value @ toward.T
        if f"bias_{side}" in direction.layers[layer]:
            total = total + _exact(stack, direction.layers[layer][f"bias_{side}"])[0]
        sums.append(total.chunk(3))
    (x_r, x_z, x_n), (h_r, h_z, h_n) = sums
    one = x.constant(torch.ones(()))
    r = _of_sigmoid(step.r, x_r + h_r)
    z = _of_sigmoid(step.z, x_z + h_z)
    n = (one - step.n * step.n) * (x_n + r * step.state_part + step.r * h_n)
    state = (one - step.z) * n + (z * step.h - z * step.n) + step.z * h
    values = (step.x, step.h, step.r, step.z, step.n, step.state_part)
    pairs = zip(values, (x, h, r, z, n, h_n), strict=True)
    return Step(*(Dual(value, tangent) for value, tangent in pairs)), state


def _of_sigmoid(gate: Number, toward: Number) -> Number:
    """Return a gate's tangent, from that of its sum.

    In 1 / (1 + exp(-a)) the tangent of exp(-a) may overflow, and its product with the square of a
    gate that has underflowed is NaN: nothing is claimed there.
    """
    found = gate.slope_of_sigmoid() * toward
    unsure = gate.value <= 4 * gate.form.normal * toward.size.clamp(min=1)
    return Number(found.value, found.error.masked_fill(unsure, torch.inf), gate.form)


@dataclass(frozen=True)
class _Found(Generic[N]):
    input: N
    h0: list[N]
    layers: list[dict[str, N]]


def _backward(
    stack: StackInputs,
    steps: list[Step[N]],
    weights: Sequence[Mapping[str, N]],
    outputs: Tensor,
    hn: Tensor,
) -> _Found[N]:
    """Return the gradients, or with tangents their derivatives, back through layers and steps."""
    rows = stack.input.shape[0] * stack.input.shape[1]
    if stack.active is not None:
        outputs = outputs.cpu() * stack.active
    from_above = steps[0].x.constant(outputs)
    h0, layers = [], []
    for layer in reversed(range(0, len(steps), stack.directions)):
        below = []
        every = from_above.chunk(stack.directions)
        for way in reversed(range(stack.directions)):
            step, own = steps[layer + way], weights[layer + way]
            above = every[way].flip() if way else every[way]
            active = rows_in_direction(stack.active, way)
            dh, of_x, of_h = _through_time(
                step, own, above, from_above.constant(hn[layer + way]), active
            )
            h0.append(dh)
            layers.append(_weights_backward(of_x.rows, of_h.rows, step, own, rows))
            of_x = of_x @ own["weight_ih"]
            below.append(of_x.flip() if way else of_x)
        from_above = below[0] if len(below) == 1 else below[0] + below[1]
        if stack.masks is not None and layer > 0:
            mask = stack.masks[layer // stack.directions - 1]
            from_above = from_above.where(mask, stack.scale)
    return _Found(from_above, h0[::-1], layers[::-1])


def _through_time(
    step: Step[N], own: Mapping[str, N], above: N, dh: N, active: Tensor | None
) -> tuple[N, N, N]:
    """Return the gradients of a layer's first state, and of its sums of x and of h.

    Where a row has no input, its state is handed on as it is.
    """
    factors, found = _slopes(step), []
    for t in reversed(range(len(factors[0]))):
        gradient = above[t] + dh
        x_gates, h_gates = _gates_backward([factor[t] for factor in factors], gradient)
        before = gradient * step.z[t] + h_gates @ own["weight_hh"]
        if active is not None:
            before, dh = before.at(active[t]), dh.at(~active[t])
            before = before.joined(dh)
            x_gates, h_gates = x_gates.at(active[t]), h_gates.at(active[t])
        dh = before
        found.append((x_gates, h_gates))
    of_x, of_h = (type(dh).stack(parts[::-1]) for parts in zip(*found, strict=True))
    return dh, of_x, of_h


def _slopes(step: Step[N]) -> list[N]:
    """Return the derivatives of the new state by the three sums of x, and r."""
    one = step.z.constant(torch.ones(()))
    of_n = (one - step.z) * (one - step.n * step.n)
    # Not h - n: z and 1 - z may be two sigmoids of opposite sums, each with its own gradient.
    slope = step.z * (one - step.z)
    of_r = step.state_part * (step.r * (one - step.r))
    return [of_r, step.h * slope, step.n * slope, of_n, step.r]


def _gates_backward(factors: Sequence[N], gradient: N) -> tuple[N, N]:
    """Return the gradients of the sums of x and of h, from the slopes and the new state's."""
    of_r, of_h, of_n, to_n, r = factors
    sum_n = gradient * to_n
    sum_z = gradient * of_h - gradient * of_n
    sum_r = sum_n * of_r
    h_gates = type(sum_n).cat([sum_r, sum_z, sum_n * r], -1)
    return type(sum_n).cat([sum_r, sum_z, sum_n], -1), h_gates


def _weights_backward(
    of_x: N, of_h: N, step: Step[N], weights: Mapping[str, N], rows: int
) -> dict[str, N]:
    """Return the gradients of a layer's parameters: sums over all rows of all steps."""
    found = {"weight_ih": of_x.T @ step.x.rows, "weight_hh": of_h.T @ step.h.rows}
    if "bias_ih" in weights:
        ones = of_x.constant(torch.ones(1, rows, dtype=torch.float64))
        found |= {"bias_ih": ones @ of_x, "bias_hh": ones @ of_h}
    return found


def _collected(found: _Found[N], bounded: Callable[[N], Bounded]) -> Gradients:
    layers = []
    for layer in found.layers:
        one = {name: bounded(number) for name, number in layer.items()}
        for name in set(one) & set(PARAMETERS[2:]):
            one[name] = Bounded(one[name].value[0], one[name].error[0])
        layers.append(one)
    return Gradients(
        input=bounded(found.input),
        h0=rounding.stacked([bounded(number) for number in found.h0]),
        layers=layers,
    )
