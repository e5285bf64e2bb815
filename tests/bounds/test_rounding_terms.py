"""The bound, term by term: the formulas of the module's docstring once more, in plain Python."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from stackgru.bounds import formats, rounding
from stackgru.bounds.rounding import Bounded

#: By dtype: u, v, stored numbers (point 2), smallest subnormal, smallest normal, what a
#: subnormal may lose in a product (point 6), A (point 3), what it may lose anywhere, largest.
FORMATS = {
    torch.float64: (2**-53, 2**-53, 0, 2**-1074, 2**-1022, 0.0, 0.0, 0.0, (2 - 2**-52) * 2.0**1023),
    torch.float32: (2**-24, 2**-24, 0, 2**-149, 2**-126, 0.0, 0.0, 0.0, (2 - 2**-23) * 2.0**127),
    torch.bfloat16: (2**-8, 2**-24, 5, 2**-133, 2**-126, 2**-126, 0.0, 0.0, (2 - 2**-7) * 2.0**127),
    torch.float16: (2**-11, 2**-24, 5, 2**-24, 2**-14, 0.0, 0.0, 0.0, 65504.0),
}
INPUTS, UNITS, ROWS = 3, 2, 4
PLACES = [(row, unit) for row in range(ROWS) for unit in range(UNITS)]


def half(row, errors, weights, bias, form):
    """Return W x + b, |W| (|x| + E(x)) + |b|, and what E(x) and underflow bring (points 1, 6)."""
    _, _, _, smallest, _, flush, _, lost, _ = form
    value = sum(w * x for w, x in zip(weights, row, strict=True)) + bias
    pairs = list(zip(weights, row, errors, strict=True))
    size = sum(abs(w) * (abs(x) + e) for w, x, e in pairs) + abs(bias)
    error = sum(abs(w) * e for w, _, e in pairs) + (len(row) + 4) * smallest
    numbers = [abs(x) + (e if lost else 0.0) for x, e in zip(row, errors, strict=True)]
    return value, size, error + flush * sum([*map(abs, weights), *numbers, 4])


def sigmoid(value, error, form):
    """Return the sigmoid and its error (point 3); its slope at a is 1 / (2 cosh(a / 2)) ** 2."""
    s = 1 / (1 + math.exp(-value))
    slope = 1 / (2 * math.cosh(max(0, abs(value) - error) / 2)) ** 2
    return s, min(1, slope * error + 6 * form[0] * s + 2 * form[0] + form[4] + form[6])


def tanh(value, error, form):
    t = math.tanh(value)
    slope = 1 / math.cosh(max(0, abs(value) - error)) ** 2
    return t, min(2, slope * error + 6 * form[0] * abs(t) + form[3] + form[6])


def gates(x, h, weights, dtype, row, unit):
    """Return r, z, n and the state's part of n for one unit, each with its error."""
    form = FORMATS[dtype]
    u, v, stored, *_ = form
    gamma = (INPUTS + UNITS + 4) * v / (1 - (INPUTS + UNITS + 4) * v)

    def halves(gate):
        for part, side in ((x, "ih"), (h, "hh")):
            line = weights[f"weight_{side}"].tolist()[gate * UNITS + unit]
            biases = weights.get(f"bias_{side}")
            bias = 0.0 if biases is None else biases.tolist()[gate * UNITS + unit]
            half_sum = half(part.value[row].tolist(), part.error[row].tolist(), line, bias, form)
            yield half_sum[0], (gamma + stored * u) * half_sum[1] + half_sum[2]

    sums = [[*halves(gate)] for gate in range(3)]
    (r, r_error), z = (
        sigmoid(a + b, a_error + b_error, form) for (a, a_error), (b, b_error) in sums[:2]
    )
    (a, a_error), (b, b_error) = sums[2]
    n_error = a_error + (r + r_error) * b_error + r_error * abs(b)  # |r b| - |r' b'| in full
    n_error += form[7] * (abs(b) + b_error + 4)
    n = tanh(a + r * b, n_error + 3 * u * (abs(a) + r * abs(b)), form)
    return (r, r_error), z, n, (b, b_error)


def new_state(x, h, weights, dtype, row, unit):
    """Return one number of the new state and its bound, in Python's own floats."""
    u, _, _, smallest, _, _, activation, lost, _ = FORMATS[dtype]
    _, (z, z_error), (n, n_error), _ = gates(x, h, weights, dtype, row, unit)
    old, old_error = h.value[row, unit].item(), h.error[row, unit].item()
    own = z_error - activation  # which is counted in full below
    error = own * (abs(old - n) + old_error + n_error) + (1 - z) * n_error + z * old_error
    sizes = abs(old) + old_error + abs(n) + n_error
    error += (activation + lost) * sizes + 4 * lost
    error += 5 * (u * sizes + smallest)
    error += u * (6 * (z * abs(old) + (1 - z) * abs(n)) + 2 * sizes)  # two sigmoids, point 4
    return (1 - z) * n + z * old, error


def drawn(*shape, dtype, scale):
    return (torch.randn(shape, dtype=torch.float64) * scale).to(dtype).double()


@pytest.mark.parametrize(
    ("activation", "flushes"), [(0.0, False), (3e-7, False), (0.0, True)], ids=["", "A", "N"]
)
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_bound_is_the_docstrings(dtype, activation, flushes, monkeypatch):
    """Zeros show what underflow adds; a bias of -90 a sigmoid below the normal numbers."""
    u, v, stored, smallest, normal, flush, *_, largest = FORMATS[dtype]
    smallest, flush = (normal, normal) if flushes else (smallest, flush)
    own = (smallest, normal, flush, activation * u / 2**-24, normal * flushes)
    monkeypatch.setitem(FORMATS, dtype, (u, v, stored, *own, largest))
    with formats.arithmetic(activation, flushes=flushes):
        assert_the_formulas(dtype)


def assert_the_formulas(dtype):
    zero_or_one, errors, biases = (0.0, 1.0), (0.0, 1e-9, 0.3, 20.0), (None, 0.0, 1.0, -90.0)
    for numbers in itertools.product(zero_or_one, zero_or_one, errors, biases):
        assert_the_formula(dtype, *numbers)


def assert_the_formula(dtype, scale, data, error, bias):
    """Check gates and new state of drawn numbers against the formulas above."""
    torch.manual_seed(11)
    weights = {
        "weight_ih": drawn(3 * UNITS, INPUTS, dtype=dtype, scale=scale),
        "weight_hh": drawn(3 * UNITS, UNITS, dtype=dtype, scale=scale),
    }
    if bias is not None:
        weights["bias_ih"] = drawn(3 * UNITS, dtype=dtype, scale=scale) + bias
        weights["bias_hh"] = drawn(3 * UNITS, dtype=dtype, scale=scale)
    x, h = (
        Bounded(value, torch.rand(value.shape, dtype=torch.float64) * error)
        for value in (
            drawn(ROWS, INPUTS, dtype=dtype, scale=data),
            drawn(ROWS, UNITS, dtype=dtype, scale=data),
        )
    )
    bounded = rounding.layer(x, h, weights, dtype)
    found = rounding.gates(x, h, weights, dtype)
    parts = (bounded, found.r, found.z, found.n, found.state_part)
    for row, unit in PLACES:
        arguments = (x, h, weights, dtype, row, unit)
        expected = [new_state(*arguments), *gates(*arguments)]
        for part, (value, bound) in zip(parts, expected, strict=True):
            own_value, own_bound = part.value[row, unit].item(), part.error[row, unit].item()
            assert math.isclose(own_value, value, rel_tol=1e-9, abs_tol=1e-14)
            # A bound of a few of float64's smallest numbers is itself off by some.
            assert math.isclose(own_bound, bound, rel_tol=1e-9, abs_tol=4 * math.ulp(0.0))


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_value_may_lie_half_a_unit_from_its_rounded_form(dtype):
    limits = torch.finfo(dtype)
    bounded = Bounded.rounded(torch.tensor([0.0, 1.5, -3.0], dtype=dtype))
    assert bounded.value.tolist() == [0.0, 1.5, -3.0]
    smallest = limits.tiny * limits.eps
    assert bounded.error.tolist() == [
        smallest,
        1.5 * limits.eps / 2 + smallest,
        3.0 * limits.eps / 2 + smallest,
    ]


@pytest.mark.parametrize("dtype", FORMATS)
def test_steps_may_come_first(dtype):
    """(T, B, I) gives what each (B, I) gives."""
    torch.manual_seed(3)
    weights = {
        "weight_ih": drawn(3 * UNITS, INPUTS, dtype=dtype, scale=1.0),
        "weight_hh": drawn(3 * UNITS, UNITS, dtype=dtype, scale=1.0),
    }
    x = Bounded.exact(drawn(7, ROWS, INPUTS, dtype=dtype, scale=1.0))
    h = Bounded.exact(drawn(7, ROWS, UNITS, dtype=dtype, scale=1.0))
    together = rounding.layer(x, h, weights, dtype)
    for step in range(7):
        parts = (Bounded.exact(whole.value[step]) for whole in (x, h))
        alone = rounding.layer(*parts, weights, dtype)
        torch.testing.assert_close(together.value[step], alone.value)
        torch.testing.assert_close(together.error[step], alone.error, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", FORMATS)
def test_dropout_adds_three_roundings(dtype):
    u, _, _, smallest, *_ = FORMATS[dtype]
    x = Bounded(torch.tensor([-3.0, 0.0, 5.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double())
    up = rounding.dropped(x, torch.tensor([True, True, False]), 1.25, dtype)
    assert up.value.tolist() == [-3.75, 0.0, 0.0]
    assert up.error.tolist() == [3 * (u * 3.75 + smallest), 3 * smallest, 0.0]
    wide = Bounded(x.value, torch.full_like(x.value, 0.5))
    assert rounding.dropped(wide, torch.ones(3) > 0, 2.0, dtype).error[1] == 1 + 3 * smallest


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_dropped_value_may_be_taken_for_zero(dtype):
    normal, x = FORMATS[dtype][4], Bounded.exact(torch.zeros(1))
    with formats.arithmetic(0.0, flushes=True):
        up = rounding.dropped(x, torch.ones(1) > 0, 1.25, dtype)
    assert up.error.item() == pytest.approx((3 + 1.25) * normal, rel=1e-12)


@pytest.mark.parametrize("dtype", FORMATS)
def test_dropout_may_overflow_past_half_the_largest_number(dtype):
    largest = FORMATS[dtype][-1]
    x = Bounded.exact(torch.tensor([1, -1, 1.1, -1.1]).double() * (largest / 4))
    up = rounding.dropped(x, torch.ones(4) > 0, 2.0, dtype)
    assert up.error.isinf().tolist() == [False, False, True, True]


@pytest.mark.parametrize("gate", range(3))
@pytest.mark.parametrize(("input", "overflows"), [(32752.0, False), (32760.0, True)])
def test_a_sum_may_overflow_past_half_the_largest_number(gate, input, overflows):
    """Half of float16's largest number is 32752; the input and the state count in one sum."""
    weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(3, 1)}
    weights["weight_ih"][gate], weights["weight_hh"][gate] = 1.0, -1.0
    x = Bounded.exact(torch.tensor([[input / 2]]))
    assert rounding.layer(x, x, weights, torch.float16).error.isinf().item() == overflows


@pytest.mark.parametrize(("state", "overflows"), [(-32752.0, False), (-32760.0, True)])
def test_a_state_may_overflow_past_half_the_largest_number(state, overflows):
    weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(3, 1)}
    x, h = Bounded.exact(torch.zeros(1, 1)), Bounded.exact(torch.tensor([[state]]))
    assert rounding.layer(x, h, weights, torch.float16).error.isinf().item() == overflows


def test_nothing_is_claimed_after_nothing_was_claimed():
    """Zero weights times an infinite error are no number, and still nothing is known."""
    weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(3, 1)}
    unknown = Bounded(torch.zeros(1, 1).double(), torch.full((1, 1), torch.inf).double())
    known = Bounded.exact(torch.zeros(1, 1))
    for x, h in ((unknown, known), (known, unknown)):
        assert rounding.layer(x, h, weights, torch.float32).error.isinf().all()


def test_a_sequence_is_layer_upon_layer_step_by_step():
    torch.manual_seed(5)
    dtype, scale = torch.float32, 1.25
    layers = [
        {"weight_ih": torch.randn(3 * UNITS, width), "weight_hh": torch.randn(3 * UNITS, UNITS)}
        for width in (INPUTS, UNITS, UNITS)
    ]
    input, h0 = torch.randn(4, ROWS, INPUTS), torch.randn(3, ROWS, UNITS)
    masks = torch.rand(2, 4, ROWS, UNITS) < 0.8
    states, outputs = list(map(Bounded.exact, h0)), []
    for step in range(4):
        up = Bounded.exact(input[step])
        for index, weights in enumerate(layers):
            up = states[index] = rounding.layer(up, states[index], weights, dtype)
            if index < 2:
                up = rounding.dropped(up, masks[index, step], scale, dtype)
        outputs.append(up)
    found = rounding.sequence(input, h0, layers, masks, scale, dtype)
    for expected, own in zip((outputs, states), found, strict=True):
        # A product of all steps may add in another order than one of each.
        for name in ("value", "error"):
            parts = torch.stack([getattr(part, name) for part in expected])
            torch.testing.assert_close(getattr(own, name), parts, rtol=1e-12, atol=0)
    with pytest.raises(RuntimeError, match="must match the size"):
        rounding.sequence(input, h0, layers, masks[:, 1:], scale, dtype)


@pytest.mark.parametrize("dtype", FORMATS)
def test_what_is_allowed_includes_the_error_of_the_float64_value(dtype):
    bounded = Bounded(torch.zeros(1).double(), torch.ones(1).double())
    expected = 2 if dtype == torch.float64 else 1 + 2**-20
    assert rounding.allowed(bounded, dtype).item() == expected


def test_no_graph_is_kept():
    weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(3, 1)}
    x = Bounded(torch.zeros(1, 1).double().requires_grad_(), torch.zeros(1, 1).double())
    assert not rounding.layer(x, x, weights, torch.float32).value.requires_grad
    assert not rounding.gates(x, x, weights, torch.float32).n.value.requires_grad


def test_formats_and_bounds_do_not_change():
    x = Bounded.exact(torch.zeros(1, 1))
    weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(3, 1)}
    gates = rounding.gates(x, x, weights, torch.float32)
    for record in (formats.format_of(torch.float32), x, gates):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, dataclasses.fields(record)[0].name, None)
