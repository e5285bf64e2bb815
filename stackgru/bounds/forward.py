"""The steps of a stack with their gates, each with its bound: what a backward pass goes back over.

Who writes a sigmoid s as 1 / (1 + exp(-a)) gets its derivative as s s exp(-a). There s s may
underflow, which costs up to min(s, smallest / s), charged to s; and below the smallest normal
numbers exp may have overflowed, so that nothing is claimed. Who writes h' as lerp(h, n, 1 - z)
multiplies by 1 - (1 - z) in place of z, which is off by the roundings of 1.
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
    """One layer's step: its input, its state before, its gates, and W_hn h + b_hn."""

    x: N
    h: N
    r: N
    z: N
    n: N
    state_part: N


@dataclass(frozen=True)
class StackInputs:
    """What is differentiated.

    Attributes:
        input: (T, B, I).
        h0: (L, B, H).
        layers: the parameters, layer by layer.
        gaps: the masks between layers, bool, (L - 1, T, B, H); None where nothing is dropped.
        scale: what kept values are multiplied by.
        dtype: what is evaluated in.
    """

    input: Tensor
    h0: Tensor
    layers: Sequence[Layer]
    gaps: Tensor | None
    scale: float
    dtype: torch.dtype

    @property
    def form(self) -> Format:
        """What is rounded to."""
        return FORMATS[self.dtype]


def forward(network: StackInputs) -> list[list[Step[Number]]]:
    """Return every layer's steps."""
    form = network.form
    below = list(map(Bounded.exact, network.input))
    steps = []
    for layer, start in enumerate(network.h0):
        state = Bounded.exact(start)
        taken, above = [], []
        for x in below:
            numbers, after = _gates(network, x, state, layer)
            taken.append(Step(Number.of(x, form), Number.of(state, form), *numbers))
            above.append(after)
            state = after
        steps.append(taken)
        below = [_dropped(network, value, layer, t) for t, value in enumerate(above)]
    return steps


def _gates(
    network: StackInputs, x: Bounded, h: Bounded, layer: int
) -> tuple[list[Number], Bounded]:
    """Return r, z, n and W_hn h + b_hn, and the new state."""
    form = network.form
    gates = rounding.gates(x, h, network.layers[layer], network.dtype)
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
    return unsafe, rounding.new_state(gates, h, network.dtype)


def _dropped(network: StackInputs, value: Bounded, layer: int, t: int) -> Bounded:
    if network.gaps is None or layer == len(network.layers) - 1:
        return value
    return rounding.dropped(value, network.gaps[layer][t], network.scale, network.dtype)
