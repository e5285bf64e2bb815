"""Is a difference from nn.GRU rounding? How far right results may lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stackgru.bounds import rounding
from stackgru.bounds.formats import DTYPES, arithmetic
from stackgru.bounds.rounding import Bounded
from stackgru.gru.parameters import Layer, gru_layers
from stackgru.options import MOST_ACTIVATION_ERROR, UsageError

#: Beyond the range of a gate, as far as a bound may push its value.
_SLACK = 1e-6


class Allowed(NamedTuple):
    """By how much results may differ, of the results' own shapes, in float64.

    Attributes:
        output: likewise.
        hn: likewise.
    """

    output: Tensor
    hn: Tensor


@dataclass(frozen=True)
class FirstApart:
    """Where results first differ by more than rounding.

    Attributes:
        step: the step of the output; the last one if only hn differs.
        layer: the lowest layer that is known to differ; of all but the last only hn is seen.
        gate: "z", "n" or "r or n", if a wrong value of that one alone can be all there is to it;
            None if several can, none can, or there are more layers or directions.
        difference: by how much they differ there.
        allowed: by how much they may.
    """

    step: int
    layer: int
    gate: str | None
    difference: float
    allowed: float

    def __str__(self) -> str:
        """Say it in words."""
        gate = f", gate {self.gate}" if self.gate else ""
        numbers = f"differs by {self.difference:.3g}, {self.allowed:.3g} allowed"
        return f"step {self.step}, layer {self.layer}{gate}: {numbers}"


@dataclass(frozen=True)
class Comparison:
    """How given results compare with nn.GRU's.

    Attributes:
        allowed: how far two right implementations may lie apart; where it is infinite, a sum may
            overflow, and anything is right but a number where nn.GRU itself gives none.
        within: whether the given results lie no further from nn.GRU's own.
        first: where they first do; None if they do not.
    """

    allowed: Allowed
    within: bool
    first: FirstApart | None


@torch.no_grad()
def compare(
    gru: nn.GRU,
    input: Tensor,
    h0: Tensor | None,
    output: Tensor,
    hn: Tensor,
    *,
    activation_error: float = 0.0,
    flush_to_zero: bool = False,
) -> Comparison:
    """Compare results with those of nn.GRU: is the difference rounding?

    The bound is derived for the weights and the input at hand, so it needs no tolerance; see
    stackgru.bounds.rounding.

    Args:
        gru: nn.GRU with the other's weights; one that drops out must be in eval mode.
        input: (T, B, I), (B, T, I) if its batch comes first, or (T, I).
        h0: (D L, B, H), or (D L, H); zeros if None.
        output: what another implementation gave, of nn.GRU's shape; a tensor, or NumPy's array.
        hn: likewise.
        activation_error: by how much the other's sigmoid and tanh may be off in float32,
            absolutely; in another dtype by the same number of u.
        flush_to_zero: whether the other may take subnormal numbers for zero.

    Raises:
        UsageError: if shapes or dtypes do not fit, it is no nn.GRU, dropout is on, or the
            activations are too far off.
    """
    if not isinstance(gru, nn.GRU):
        raise UsageError(f"gru must be an nn.GRU, got {type(gru).__name__}.")
    if gru.training and gru.dropout and gru.num_layers > 1:
        raise UsageError("gru drops out in training; compare in eval: gru.eval().")
    if not 0 <= activation_error <= MOST_ACTIVATION_ERROR:
        raise UsageError(
            f"activation_error must be from 0 to {MOST_ACTIVATION_ERROR:g}, got "
            f"{activation_error:g}."
        )
    if not isinstance(input, Tensor):
        raise UsageError(f"input must be a tensor, got {type(input).__name__}.")
    own_output, own_hn = gru(input, h0)
    output, hn = torch.as_tensor(output), torch.as_tensor(hn)
    for name, given, right in (("output", output, own_output), ("hn", hn, own_hn)):
        if given.dtype not in DTYPES:
            raise UsageError(
                f"{name} must be of {' or '.join(map(str, DTYPES))}, got {given.dtype}."
            )
        if given.shape != right.shape:
            raise UsageError(f"{name} must be {tuple(right.shape)}, got {tuple(given.shape)}.")
    steps, state = _in_order(gru, input), None if h0 is None else h0
    rows = steps.shape[1]
    if state is None:
        state = steps.new_zeros(gru.num_layers * (1 + gru.bidirectional), rows, gru.hidden_size)
    elif state.dim() == 2:
        state = state[:, None]
    bounds = _bounds(gru, steps, state, own_output.dtype)
    with arithmetic(activation_error, flushes=flush_to_zero):
        others = {one: _bounds(gru, steps, state, one) for one in {output.dtype, hn.dtype}}
    of_output, of_hn = bounds[0] + others[output.dtype][0], bounds[1] + others[hn.dtype][1]
    theirs = _in_order(gru, output), _with_rows(hn)
    own = _in_order(gru, own_output).cpu(), _with_rows(own_hn).cpu()
    gaps = list(map(_gap, theirs, own))
    apart = [
        ~((gap <= bound) | (bound.isinf() & ~right.isnan()))
        for gap, bound, right in zip(gaps, (of_output, of_hn), own, strict=True)
    ]
    allowed = Allowed(_like(gru, of_output, output), of_hn.reshape(hn.shape))
    if not any(bool(one.any()) for one in apart):
        return Comparison(allowed, True, None)
    first = _first(gru, steps, state, _in_order(gru, output), gaps, (of_output, of_hn), apart)
    return Comparison(allowed, False, first)


def _gap(given: Tensor, own: Tensor) -> Tensor:
    """Return how far results lie apart; two that are no numbers do not, one that is none is NaN."""
    given, own = given.double().cpu(), own.double()
    return (given - own).abs().masked_fill(given.isnan() & own.isnan() | (given == own), 0.0)


def _bounds(gru: nn.GRU, steps: Tensor, h0: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return how far results in a dtype may be off: (T, B, D H) and (D L, B, H)."""
    ways = 1 + gru.bidirectional
    found = rounding.sequence(steps, h0, gru_layers(gru), None, 1.0, dtype, directions=ways)
    output, hn = (rounding.allowed(one, dtype) for one in found)
    return output, hn


def _in_order(gru: nn.GRU, value: Tensor) -> Tensor:
    """Return input or output as (T, B, _)."""
    if value.dim() == 2:
        return value[:, None]
    return value.transpose(0, 1) if gru.batch_first else value


def _with_rows(state: Tensor) -> Tensor:
    return state[:, None] if state.dim() == 2 else state


def _like(gru: nn.GRU, value: Tensor, output: Tensor) -> Tensor:
    """Return (T, B, _) as the output lies."""
    if output.dim() == 2:
        return value[:, 0]
    return value.transpose(0, 1) if gru.batch_first else value


def _first(
    gru: nn.GRU,
    steps: Tensor,
    h0: Tensor,
    output: Tensor,
    gaps: list[Tensor],
    bounds: tuple[Tensor, Tensor],
    apart: list[Tensor],
) -> FirstApart:
    """Return where results first lie further apart than allowed."""
    in_hn = apart[1].flatten(1).any(1).nonzero()
    last = gru.num_layers - 1
    layer = int(in_hn[0]) // (1 + gru.bidirectional) if len(in_hn) else last
    in_steps = apart[0].flatten(1).any(1).nonzero()
    step = int(in_steps[0]) if len(in_steps) else len(steps) - 1
    where, which = (apart[0][step], 0) if len(in_steps) else (apart[1][int(in_hn[0])], 1)
    row = step if len(in_steps) else int(in_hn[0])
    place = tuple(where.nonzero()[0].tolist())
    gate = None
    if last == 0 and not gru.bidirectional and len(in_steps):
        before = torch.cat([h0, output[:-1]])
        gate = _gate(steps[step:], before[step:], output[step:], gru_layers(gru)[0])
    return FirstApart(
        step, layer, gate, float(gaps[which][row][place]), float(bounds[which][row][place])
    )


def _gate(x: Tensor, h: Tensor, new: Tensor, weights: Layer) -> str | None:
    """Return which gate alone may be wrong: its values would have to be in its range."""
    before, got = h.double().cpu(), new.double().cpu()
    gates = rounding.gates(Bounded.exact(x), Bounded.exact(h), weights, torch.float64)
    z, n = gates.z.value, gates.n.value
    as_z = (got - n) / (before - n)
    as_n = (got - z * before) / (1 - z)
    input_part = torch.atanh(n) - gates.r.value * gates.state_part.value
    as_r = (torch.atanh(as_n) - input_part) / gates.state_part.value
    found = {
        "z": _is_in(as_z, 0, got == n),
        "n": _is_in(as_n, -1, z == 1),
        "r": _is_in(as_r, 0, got == z * before + (1 - z) * n),
    }
    names = [name for name, possible in found.items() if possible]
    return {("z",): "z", ("n",): "n", ("n", "r"): "r or n"}.get(tuple(names))


def _is_in(values: Tensor, least: float, unknown: Tensor) -> bool:
    """Whether all values, where they are known, are from here to 1."""
    inside = (values >= least - _SLACK) & (values <= 1 + _SLACK)
    return bool((inside | unknown).all())
