r"""How far apart two right answers may be.

Two right implementations differ by rounding only. This module computes, next to each value of the
GRU equation in float64, a bound on the error of any reasonable evaluation in a narrower (or the
same) format, so no tolerance is ever picked by hand.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002: the model
fl(a op b) = (a op b)(1 + d), |d| <= u (ch. 2), and for an inner product of n terms, in any order
and with or without fused multiply-add, an error of at most gamma_n = n u / (1 - n u) times the
product of the absolute values (ch. 3).

The equation of one layer, as torch documents it::

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    h' = (1 - z) * n + z * h

With E(v) the bound carried next to v, u the unit roundoff of the dtype, v the accumulator's:

1. Sums. A gate's sum has at most I + H products and 4 further terms or additions, in one product
   of [x, h] or in two, so its error is at most gamma_{I+H+4}(v) A + |W_i| E(x) + |W_h| E(h), with A
   = |W_i|(|x| + E(x)) + |b_i| + |W_h|(|h| + E(h)) + |b_h|. For n the two halves are bounded
   separately, and the product with r and the last addition cost 3 u of the absolute values.
2. float16 and bfloat16. Assumed: products accumulate in float32 or better (v = 2**-24), and a
   stored number is rounded once. Up to 5 stored numbers lie on the way to a gate's sum (rounded
   products, a half without bias, with bias, both halves together), hence another 5 u A.
   The law `equation` checks nn.GRU itself against this bound, so it reports a build that
   accumulates otherwise.
3. Activations. The error of an argument is multiplied by the largest slope of sigmoid (s (1 - s))
   or tanh (1 - t**2) on the interval that the error allows: the slope at the interval's point
   closest to 0. Their own evaluation adds 6 u of the value: exp to one ulp (2 u), an addition, a
   division and the rounding of the result. A sigmoid may be (1 + tanh(a / 2)) / 2, which keeps
   the error of an ulp next to 1 however small the sum is: another 2 u. exp may overflow if the
   sigmoid is below the smallest normal number, which is therefore added.
   Runtimes with approximations of their own are off absolutely, whatever the value: by A, if that
   is stated (`activation_error`), which is added to the bound of r, z and n.
4. The new state. h' is a product and a convex sum: E(h') = E(z)(|h - n| + E(h) + E(n)) +
   (1 - z) E(n) + z E(h) + 5 u (|h| + |n|), whether it is written (1 - z) n + z h, n + z (h - n)
   or h + (1 - z)(n - h): none rounds more than five times, each time a number of at most |h| + |n|.
   1 - z may be the sigmoid of the opposite sum: the error of the sum is the same in both, their
   own evaluations are not, which adds those of point 3 of z times |h| and of 1 - z times |n|:
   A (|h| + |n|) too, in place of the A |h - n| that is part of E(z) |h - n|.
5. Dropout multiplies value and bound by mask / (1 - p) and rounds at most three times.
6. Underflow adds the smallest subnormal number for each operation. In bfloat16 the dot products
   of some processors treat subnormal numbers as zero: each factor, bias and sum may be off by the
   smallest normal number, which is N here. Hardware and runtimes can do so everywhere (flush to
   zero; `flush_to_zero`): then each result may lose N in place of the smallest subnormal number,
   and so may each operand of a product or a sum: r and W_hn h + b_hn of theirs, N (|W_hn h + b_hn|
   + 4) with the results; z, 1 - z, h, n and h - n, N (|h| + |n| + 4); a value that is dropped, N
   scale.
7. If a sum of absolute values exceeds half the largest number, an evaluation may overflow: the
   bound is infinite, and nothing is claimed.

The value itself is computed in float64, with the same kind of error: `allowed` doubles the bound
in float64, and adds 2**-20 of it in the narrower formats, in which that error is far smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stackgru.bounds.formats import Format, format_of
from stackgru.gru.parameters import Layer

_ACTIVATION = 6  # roundings of sigmoid and tanh, point 3
_HALF_ANGLE = 2  # roundings of 1 in a sigmoid by tanh, point 3
_STATE = 5  # roundings of the convex sum, point 4
_DROPOUT = 3  # roundings of a scaled mask and its product, point 5


@dataclass(frozen=True)
class Bounded:
    """A float64 value and a bound on its error, of one shape; infinite where nothing is claimed."""

    value: Tensor
    error: Tensor

    @classmethod
    def exact(cls, value: Tensor) -> Bounded:
        """Return ``value`` without error."""
        value = value.detach().double().cpu()
        return cls(value, torch.zeros_like(value))

    @classmethod
    def rounded(cls, value: Tensor) -> Bounded:
        """Return a value of which ``value`` is the rounded form."""
        form = format_of(value.dtype)
        exact = cls.exact(value).value
        return cls(exact, form.unit * exact.abs() + form.smallest)


@dataclass(frozen=True)
class Gates:
    """What one layer computes on the way to its new state, (..., B, H) each.

    Attributes:
        r: the reset gate.
        z: the update gate.
        n: the new gate.
        state_part: W_hn h + b_hn.
        overflow: bool, where an evaluation may overflow.
    """

    r: Bounded
    z: Bounded
    n: Bounded
    state_part: Bounded
    overflow: Tensor

    @classmethod
    def stacked(cls, steps: Sequence[Gates]) -> Gates:
        """Stack along a new first axis."""
        r, z, n, state_part = (
            stacked([getattr(step, name) for step in steps])
            for name in ("r", "z", "n", "state_part")
        )
        return cls(r, z, n, state_part, torch.stack([step.overflow for step in steps]))


@dataclass(frozen=True)
class Half:
    """Half of the gates' sums, (..., B, 3 H) each.

    Attributes:
        value: W x + b.
        size: the same of the largest absolute values.
        error: the bound on the value's error.
    """

    value: Tensor
    size: Tensor
    error: Tensor


class _Matrix:
    """A layer's weights of input or state, and its bias, as the bounds need them at every step."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.transposed = weight.detach().double().cpu().T
        self.absolute = self.transposed.abs()
        self.bias = None if bias is None else bias.detach().double().cpu()

    def half(self, x: Bounded, relative: float, form: Format) -> Half:
        """Return its half of the gates' sums, of x (..., B, I) or of a state."""
        value = x.value @ self.transposed
        size = x.value.abs().add_(x.error) @ self.absolute
        error = x.error @ self.absolute
        if self.bias is not None:
            value, size = value.add_(self.bias), size.add_(self.bias.abs())
        error.add_(size, alpha=relative).add_((x.value.shape[-1] + 4) * form.smallest)
        if form.flush:
            sizes = x.value.abs() + x.error if form.lost else x.value.abs()
            rows = sizes.sum(-1, keepdim=True)
            error = error + form.flush * (self.absolute.sum(0) + rows + 4)
        return Half(value, size, error)


@torch.inference_mode()
def layer(x: Bounded, h: Bounded, weights: Layer, dtype: torch.dtype) -> Bounded:
    """Return a layer's new state (..., B, H) from input x (..., B, I) and state h (..., B, H)."""
    return new_state(gates(x, h, weights, dtype), h, dtype)


@torch.inference_mode()
def gates(
    x: Bounded,
    h: Bounded,
    weights: Layer,
    dtype: torch.dtype,
    activation: Callable[[Tensor, Tensor, Format], tuple[Tensor, Tensor]] | None = None,
) -> Gates:
    """Return a layer's gates; see layer.

    ``activation`` computes r and z from their sums and the bounds on these; sigmoid if None.
    """
    form = format_of(dtype)
    half, other = halves(x, h, weights, dtype)
    return _gates(half, other, h, form, activation or sigmoid)


def _gates(
    half: Half,
    other: Half,
    h: Bounded,
    form: Format,
    activation: Callable[[Tensor, Tensor, Format], tuple[Tensor, Tensor]],
) -> Gates:
    """Return the gates of the two halves of their sums."""
    sizes = [half.value.shape[-1] // 3 * 2, half.value.shape[-1] // 3]
    input_rz, input_part = half.value.split_with_sizes(sizes, -1)
    state_rz, state_part = other.value.split_with_sizes(sizes, -1)
    input_rz_error, input_error = half.error.split_with_sizes(sizes, -1)
    state_rz_error, state_error = other.error.split_with_sizes(sizes, -1)
    rz, rz_error = activation(input_rz + state_rz, input_rz_error + state_rz_error, form)
    (r, z), (r_error, z_error) = rz.chunk(2, -1), rz_error.chunk(2, -1)
    state_size, gated = state_part.abs(), r * state_part
    n_error = input_part.abs().addcmul_(r, state_size).mul_(3 * form.unit).add_(input_error)
    n_error.addcmul_(r, state_error).addcmul_(r_error, state_size.add_(state_error))
    if form.lost:
        n_error.add_(state_size + 4, alpha=form.lost)
    n, n_error = tanh(input_part + gated, n_error, form)
    return Gates(
        Bounded(r, r_error),
        Bounded(z, z_error),
        Bounded(n, n_error),
        Bounded(state_part, state_error),
        _overflow(half.size + other.size, h, form),
    )


def new_state(gates: Gates, h: Bounded, dtype: torch.dtype) -> Bounded:
    """Return the new state that these gates make of h; see layer."""
    form, z, n = format_of(dtype), gates.z.value, gates.n.value
    rest = one_minus(z)
    value = (rest * n).addcmul_(z, h.value)
    h_size, n_size, errors = h.value.abs(), n.abs(), h.error + gates.n.error
    own = (rest * n_size).addcmul_(z, h_size).mul_(_ACTIVATION)
    roundings = (_STATE + _HALF_ANGLE) * form.unit + form.activation + form.lost
    own.mul_(form.unit).add_(h_size.add_(n_size).add_(errors), alpha=roundings)
    error = (
        own.add_(_STATE * form.smallest + 4 * form.lost)
        .addcmul_(rest, gates.n.error)
        .addcmul_(z, h.error)
    )
    of_sum = gates.z.error - form.activation if form.activation else gates.z.error
    error.addcmul_(of_sum, (h.value - n).abs_().add_(errors))
    return Bounded(value, error.masked_fill_(gates.overflow | error.isnan(), torch.inf))


def dropped(x: Bounded, mask: Tensor, scale: float, dtype: torch.dtype) -> Bounded:
    """Return the next layer's input, both (..., B, H): zero where the bool mask is False.

    Unless the value may have overflowed: dropout multiplies it by zero, which makes it NaN. So it
    does where the scale overflows, as in float16 that of rates near one, if it comes last.
    """
    form = format_of(dtype)
    value, gone = x.value * scale, ~mask
    size = value.abs()
    error = (x.error * scale).add_(size, alpha=_DROPOUT * form.unit)
    error.add_(_DROPOUT * form.smallest + form.lost * scale).masked_fill_(gone, 0.0)
    is_finite = (x.value.abs() + x.error < torch.inf) & (size <= form.largest / 2)
    error.masked_fill_(is_finite.logical_not_(), torch.inf)
    if scale > form.largest:
        error.fill_(torch.inf)
    return Bounded(value.masked_fill_(gone, 0.0), error)


def sequence(
    input: Tensor,
    h0: Tensor,
    layers: Sequence[Layer],
    masks: Tensor | None,
    scale: float,
    dtype: torch.dtype,
    *,
    directions: int = 1,
    active: Tensor | None = None,
) -> tuple[Bounded, Bounded]:
    """Return outputs (T, B, D H) and hn (D L, B, H) of exact input (T, B, I) and h0 (D L, B, H).

    ``masks``, bool and (L - 1, T, B, D H), are those between layers, None without dropout;
    ``scale`` is the factor of the values that they keep. ``active``, bool and (T, B, 1), tells
    which rows have input at a step, all if None: the others keep their state, and give zeros.
    """
    below = Bounded.exact(input)
    last = []
    for index in range(0, len(layers), directions):
        ways = []
        for way in range(directions):
            x, rows = in_direction(below, way), rows_in_direction(active, way)
            start = Bounded.exact(h0[index + way])
            steps = over_time(x, start, layers[index + way], dtype, rows)
            states = stacked([state for _, state in steps])
            last.append(Bounded(states.value[-1], states.error[-1]))
            ways.append(in_direction(states, way))
        above = ways[0] if directions == 1 else beside(*ways)
        if active is not None:
            above = Bounded(above.value * active, above.error * active)
        below = above
        if masks is not None and index < len(layers) - directions:
            below = dropped(above, masks[index // directions], scale, dtype)
    return above, stacked(last)


def in_direction(steps: Bounded, way: int) -> Bounded:
    """Return steps in the order in which a layer goes through them: the second way from the end."""
    return Bounded(steps.value.flip(0), steps.error.flip(0)) if way else steps


def rows_in_direction(active: Tensor | None, way: int) -> Tensor | None:
    """Return which rows have input, in the order of in_direction."""
    return active.flip(0) if active is not None and way else active


def beside(one: Bounded, other: Bounded) -> Bounded:
    """Return two directions' states as one output."""
    values, errors = (one.value, other.value), (one.error, other.error)
    return Bounded(torch.cat(values, -1), torch.cat(errors, -1))


def over_time(
    x: Bounded, h: Bounded, weights: Layer, dtype: torch.dtype, active: Tensor | None = None
) -> Iterator[tuple[Gates, Bounded]]:
    """Yield a layer's gates and new state of each step, from its inputs (T, B, I)."""
    form = format_of(dtype)
    relative = _relative_error(x, h, form)
    half = _Matrix(weights["weight_ih"], weights.get("bias_ih")).half(x, relative, form)
    matrix = _Matrix(weights["weight_hh"], weights.get("bias_hh"))
    parts = zip(half.value.unbind(), half.size.unbind(), half.error.unbind(), strict=True)
    for step, part in enumerate(parts):
        found = _gates(Half(*part), matrix.half(h, relative, form), h, form, sigmoid)
        new = new_state(found, h, dtype)
        if active is not None:
            rows = active[step]
            value, error = (new.value, h.value), (new.error, h.error)
            new = Bounded(torch.where(rows, *value), torch.where(rows, *error))
        h = new
        yield found, h


def stacked(parts: Sequence[Bounded]) -> Bounded:
    """Stack along a new first axis."""
    return Bounded(
        torch.stack([part.value for part in parts]), torch.stack([part.error for part in parts])
    )


def allowed(bounded: Bounded, dtype: torch.dtype) -> Tensor:
    """Return how far an evaluation in ``dtype`` may be from ``bounded.value``."""
    return bounded.error * (2 if dtype == torch.float64 else 1 + 2.0**-20)


def halves(x: Bounded, h: Bounded, weights: Layer, dtype: torch.dtype) -> tuple[Half, Half]:
    """Return the halves of a layer's gates' sums that x (..., B, I) and h (..., B, H) give."""
    form = format_of(dtype)
    relative = _relative_error(x, h, form)
    half = _Matrix(weights["weight_ih"], weights.get("bias_ih")).half(x, relative, form)
    return half, _Matrix(weights["weight_hh"], weights.get("bias_hh")).half(h, relative, form)


def _relative_error(x: Bounded, h: Bounded, form: Format) -> float:
    """Return the error of a gate's sum of x and h, relative to its absolute values."""
    errors = (x.value.shape[-1] + h.value.shape[-1] + 4) * form.accumulator
    return errors / (1 - errors) + form.stored * form.unit


def sigmoid(value: Tensor, error: Tensor, form: Format) -> tuple[Tensor, Tensor]:
    """Return the sigmoid of a sum with this error, and the bound on the sigmoid's error."""
    s = torch.sigmoid(value)
    # The slope is s (1 - s) on either side; with s close to 1 the difference would lose all digits.
    nearest = value.abs().sub_(error).clamp_min_(0)
    steepest = torch.sigmoid(nearest.neg_())
    slope = steepest * one_minus(steepest)
    own = _HALF_ANGLE * form.unit + form.normal + form.activation
    bound = (s * (_ACTIVATION * form.unit)).add_(own)
    return s, bound.addcmul_(slope, error).clamp_max_(1)


def tanh(value: Tensor, error: Tensor, form: Format) -> tuple[Tensor, Tensor]:
    """Return the tanh of a sum with this error, and the bound on the tanh's error."""
    t = torch.tanh(value)
    # 1 - tanh**2 loses all digits for large arguments; 1 / cosh**2 does not.
    nearest = value.abs().sub_(error).clamp_min_(0)
    slope = torch.cosh(nearest).square_().reciprocal_()
    bound = t.abs().mul_(_ACTIVATION * form.unit).add_(form.smallest + form.activation)
    return t, bound.addcmul_(slope, error).clamp_max_(2)


def one_minus(value: Tensor) -> Tensor:
    """Return 1 - value, by two operations that together take less time than that one."""
    return value.neg().add_(1)


def _overflow(sizes: Tensor, h: Bounded, form: Format) -> Tensor:
    largest = sizes.reshape(*sizes.shape[:-1], 3, sizes.shape[-1] // 3).amax(-2)
    return (largest > form.largest / 2) | (h.value.abs() > form.largest / 2)
