"""How far a target's sigmoid and tanh are off, measured by a GRU of one unit.

If it has other sizes or more layers, the first unit of the first layer is taken. With zeros for all
else, h' is z h for a candidate of tanh(0) = 0, that is the sigmoid of the input
for h = 1; and (1 - z) n for h = 0, that is the tanh of the input where a large negative sum makes z
vanish. The input runs through the range of floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stackgru.bounds.formats import format_of
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.targets.target import Target

_POINTS = 1 << 16  # from -_LARGEST to _LARGEST
_MAGNITUDES = 1 << 11  # of each sign
_ROWS = 1 << 10  # at once: a target may take so many and no more
_LARGEST = 20.0  # where float32 has 1 for both
_SHUT = -120.0  # a sum for which the sigmoid vanishes
#: Roundings of right activations, and of 1 in a sigmoid: see stackgru.bounds.rounding, point 3.
_OF_VALUE, _OF_ONE = 8, 2


@dataclass(frozen=True)
class Activations:
    """By how much a target's activations are off.

    Attributes:
        sigmoid: the largest absolute error, if it is more than that of a few roundings, or else 0;
            infinite if some value is not a finite number.
        tanh: likewise.
        flushes: whether subnormal numbers are taken for zero.
        dtype: the dtype in which that was measured.
    """

    sigmoid: float
    tanh: float
    flushes: bool
    dtype: str

    @property
    def error(self) -> float:
        """The larger of the two, if finite rounded up to two digits, as in float32."""
        largest = max(self.sigmoid, self.tanh)
        if not 0 < largest < math.inf:
            return largest
        units = format_of(torch.float32).unit / format_of(getattr(torch, self.dtype)).unit
        digit = 10.0 ** (math.floor(math.log10(largest * units)) - 1)
        return math.ceil(largest * units / digit) * digit

    def __str__(self) -> str:
        """Say it in words."""
        parts = [
            f"{name} is off by {error:.2g} absolutely"
            if math.isfinite(error)
            else f"{name} is not finite for some numbers"
            for name, error in (("sigmoid", self.sigmoid), ("tanh", self.tanh))
            if error
        ]
        parts += ["subnormal numbers are zero"] * self.flushes
        return ", ".join(parts) or "sigmoid and tanh are off by a few roundings"


def activations_of(target: Target) -> Activations:
    """Measure a target's activations, in the first of float32 and float64 that it has.

    Raises:
        Violated: if it cannot be called so.
    """
    refused = dict(target.refused_dtypes)
    dtype = next(name for name in ("float32", "float64") if name not in refused)
    form = format_of(getattr(torch, dtype))
    x = _range(form.smallest, form.largest).to(getattr(torch, dtype))
    case = Case(input_size=2, hidden_size=1, num_layers=1, batch=_ROWS, dtype=dtype)
    fitted = target.fitted(case)
    pair = Pair(target, fitted)
    if fitted.input_size < case.input_size or not (pair.takes_state and pair.shows_layers):
        raise Violated("it has one input, or does not take or show the first layer's state")
    exact = x.double()
    # Neither a sigmoid that should vanish nor the tanh of 0 need be 0.
    shut = {"z": (0.0, _SHUT)}
    without, one = (_results(pair, x[:_ROWS], shut, h)[:1] for h in (0.0, 1.0))
    rest = 1 - (one - without)
    nothing = without / rest
    sigmoid = (_results(pair, x, {"z": (1.0, 0.0)}, h=1.0) - nothing) / (1 - nothing)
    tanh = _results(pair, x, {"n": (1.0, 0.0), **shut}, h=0.0) / rest
    tiny = (x != 0) & (x.abs() < form.normal)
    of_tanh = _off(tanh, exact.tanh(), form.normal, form.unit)
    # As a tanh, unless that is rough; as a state that is kept; as a weight in a usual sum.
    vanish = (tanh[tiny] == 0) if not of_tanh else torch.zeros(1)
    kept = _results(pair, x, {"z": (0.0, -_SHUT)}, h=x)[tiny] == nothing
    weight = {"n": (form.normal / 4, 0.0), **shut}
    weighed = _results(pair, torch.full_like(x[:_ROWS], form.largest / 2), weight, h=0.0) == 0
    flushes = any(bool(one.all()) for one in (vanish, kept, weighed))
    of_sigmoid = _off(sigmoid, exact.sigmoid(), _OF_ONE * form.unit + form.normal, form.unit)
    return Activations(of_sigmoid, of_tanh, flushes, dtype)


def _range(smallest: float, largest: float) -> Tensor:
    """Return numbers of all magnitudes and both signs, and many of those that matter."""
    sizes = torch.logspace(
        math.log2(smallest), math.log2(largest / 2), _MAGNITUDES, 2, dtype=torch.float64
    )
    usual = torch.linspace(-_LARGEST, _LARGEST, _POINTS, dtype=torch.float64)
    return torch.cat([-sizes, sizes, usual])


def _results(
    pair: Pair, x: Tensor, gates: dict[str, tuple[float, float]], h: float | Tensor
) -> Tensor:
    """Return new states for inputs (x, 1), with these weights of gates and zeros for all others."""
    layers = [
        {name: torch.zeros_like(value) for name, value in layer.items()} for layer in pair.layers
    ]
    for gate, weights in gates.items():
        unit = "rzn".index(gate) * pair.case.hidden_size
        layers[0]["weight_ih"][unit, :2] = torch.tensor(weights)
    pair.weights.write(layers)
    input, states, found = torch.zeros_like(pair.input), torch.zeros_like(pair.h0), []
    state, pieces = torch.as_tensor(h, dtype=x.dtype).expand(len(x)), len(x) // _ROWS
    for rows, own in zip(x.chunk(pieces), state.chunk(pieces), strict=True):
        input[0, :, 0], input[0, :, 1], states[0, :, 0] = rows, 1, own
        with pair.mode("eval"):
            found.append(pair.run(input, states).hn[0, :, 0].double().cpu())
    return torch.cat(found)


def _off(got: Tensor, exact: Tensor, least: float, unit: float) -> float:
    """Return the largest error, 0 if each is one of roundings."""
    errors = (got - exact).abs().nan_to_num(nan=math.inf)
    is_rounding = bool((errors <= _OF_VALUE * unit * exact.abs() + least).all())
    return 0.0 if is_rounding else float(errors.max())
