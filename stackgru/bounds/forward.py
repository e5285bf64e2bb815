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
from stackgru.bounds.formats import FORMATS, Format
from stackgru.bounds.rounding import Bounded
from stackgru.gru.parameters import Layer


@dataclass(frozen=True)
class Step(Generic[N]):
    """One step of a layer: its input, its previous state, its gates, and W_hn h + b_hn."""

    x: N
    h: N
    r: N
    z: N
    n: N
    state_part: N


@dataclass(frozen=True)
class StackInputs:
    """The stack that is differentiated: input (T, B, I), h0 (L, B, H) and parameters by layer.

    The masks between layers are bool and (L - 1, T, B, H), None without dropout; ``scale`` is the
    factor of the values that they keep, ``dtype`` the format of the evaluation.
    """

    input: Tensor
    h0: Tensor
    layers: Sequence[Layer]
    masks: Tensor | None
    scale: float
    dtype: torch.dtype

    @property
    def form(self) -> Format:
        """The format of ``dtype``."""
        return FORMATS[self.dtype]


def forward(stack: StackInputs) -> list[list[Step[Number]]]:
    """Return every layer's steps."""
    form = stack.form
    below = list(map(Bounded.exact, stack.input))
    steps = []
    for layer, start in enumerate(stack.h0):
        state = Bounded.exact(start)
        taken, above = [], []
        for x in below:
            numbers, after = _gates(stack, x, state, layer)
            taken.append(Step(Number.of(x, form), Number.of(state, form), *numbers))
            above.append(after)
            state = after
        steps.append(taken)
        below = [_dropped(stack, value, layer, t) for t, value in enumerate(above)]
    return steps


def _gates(stack: StackInputs, x: Bounded, h: Bounded, layer: int) -> tuple[list[Number], Bounded]:
    """Return r, z, n and W_hn h + b_hn, and the new state."""
    form = stack.form
    gates = rounding.gates(x, h, stack.layers[layer], stack.dtype)
    unsure = gates.overflow
    numbers = []
    for gate in (gates.r, gates.z):
        unsure = unsure | (gate.value <= 4 * form.normal)
        lost = torch.minimum(gate.value, 4 * form.smallest / gate.value)
        numbers.append(Number(gate.value, gate.error + lost, form))
    z = numbers[1]
    numbers[1] = Number(z.value, z.error + 4 * form.unit, form)
    numbers += [Number.of(part, form) for part in (gates.n, gates.state_part)]
    unsafe = [
        Number(part.value, torch.where(unsure, torch.inf, part.error), form) for part in numbers
    ]
    return unsafe, rounding.new_state(gates, h, stack.dtype)


def _dropped(stack: StackInputs, value: Bounded, layer: int, t: int) -> Bounded:
    if stack.masks is None or layer == len(stack.layers) - 1:
        return value
    return rounding.dropped(value, stack.masks[layer][t], stack.scale, stack.dtype)
