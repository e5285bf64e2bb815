"""The forward pass that a backward pass needs: every step's gates, each with its bound.

A sigmoid s written as 1 / (1 + exp(-a)) has the derivative s s exp(-a). There s s may underflow,
which costs up to min(s, smallest / s) and is added to the error of s; and below the smallest normal
numbers exp may have overflowed, so nothing is claimed. With h' written as lerp(h, n, 1 - z) the
factor of z is 1 - (1 - z), which is off by the roundings of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.arithmetic import N, Number
from stackgru.bounds.formats import Format, format_of
from stackgru.bounds.rounding import Bounded, Gates, in_direction, rows_in_direction
from stackgru.gru.parameters import Layer


@dataclass(frozen=True)
class Step(Generic[N]):
    """A layer's input, previous state, gates and W_hn h + b_hn: of one step, or of all."""

    x: N
    h: N
    r: N
    z: N
    n: N
    state_part: N


@dataclass(frozen=True)
class StackInputs:
    """The stack that is differentiated: input (T, B, I), h0 (D L, B, H) and parameters by layer.

    The masks between layers are bool and (L - 1, T, B, D H), None without dropout; ``scale`` is the
    factor of the values that they keep, ``dtype`` the format of the evaluation. ``active`` is as in
    rounding.sequence.
    """

    input: Tensor
    h0: Tensor
    layers: Sequence[Layer]
    masks: Tensor | None
    scale: float
    dtype: torch.dtype
    directions: int = 1
    active: Tensor | None = None

    @property
    def form(self) -> Format:
        """The format of ``dtype``."""
        return format_of(self.dtype)


def forward(stack: StackInputs) -> list[Step[Number]]:
    """Return every layer's steps, in the order in which it goes through them."""
    form = stack.form
    below = Bounded.exact(stack.input)
    steps = []
    for layer in range(0, len(stack.h0), stack.directions):
        ways = []
        for way in range(stack.directions):
            x, state = in_direction(below, way), Bounded.exact(stack.h0[layer + way])
            rows = rows_in_direction(stack.active, way)
            weights = stack.layers[layer + way]
            found = list(rounding.over_time(x, state, weights, stack.dtype, rows))
            states = rounding.stacked([state, *(after for _, after in found)])
            before = Bounded(states.value[:-1], states.error[:-1])
            numbers = _numbers(Gates.stacked([gates for gates, _ in found]), form)
            steps.append(Step(Number.of(x, form), Number.of(before, form), *numbers))
            ways.append(in_direction(Bounded(states.value[1:], states.error[1:]), way))
        above = ways[0] if stack.directions == 1 else rounding.beside(*ways)
        if stack.active is not None:
            above = Bounded(above.value * stack.active, above.error * stack.active)
        below = _dropped(stack, above, layer // stack.directions)
    return steps


def _numbers(gates: Gates, form: Format) -> list[Number]:
    """Return r, z, n and W_hn h + b_hn."""
    unsure = gates.overflow
    numbers = []
    for gate in (gates.r, gates.z):
        unsure = unsure | (gate.value <= 4 * form.normal)
        lost = torch.minimum(gate.value, 4 * form.smallest * gate.value.reciprocal())
        numbers.append(Number(gate.value, gate.error + lost, form))
    z = numbers[1]
    numbers[1] = Number(z.value, z.error + 4 * form.unit, form)
    numbers += [Number.of(part, form) for part in (gates.n, gates.state_part)]
    return [Number(one.value, one.error.masked_fill(unsure, torch.inf), form) for one in numbers]


def _dropped(stack: StackInputs, value: Bounded, layer: int) -> Bounded:
    if stack.masks is None or layer == len(stack.masks):
        return value
    return rounding.dropped(value, stack.masks[layer], stack.scale, stack.dtype)
