"""The tensors of a case: shapes, magnitudes, and which numbers are drawn."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from stackgru.cases.case import DTYPES, MAGNITUDES, Case
from stackgru.cases.strategies import cases
from stackgru.cases.tensors import (
    draw_h0,
    draw_input,
    draw_weights,
    is_literal,
    numbers_of,
    with_numbers,
)


@given(cases(max_size=6))
def test_tensors_are_the_cases(case):
    input, h0, weights = draw_input(case), draw_h0(case), draw_weights(case)
    assert input.shape == (case.seq_len, case.batch, case.input_size)
    assert h0.shape == (case.num_layers, case.batch, case.hidden_size)
    assert len(weights) == case.num_layers
    assert weights[-1]["weight_hh"].shape == (3 * case.hidden_size, case.hidden_size)
    assert ("bias_ih" in weights[0]) == case.bias
    assert {part.dtype for part in (input, h0, *weights[0].values())} == {case.torch_dtype}
    assert torch.equal(input, draw_input(case))


def test_tensors_do_not_touch_the_global_generator():
    before = torch.get_rng_state()
    draw_weights(Case(num_layers=3))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_magnitudes(magnitude, dtype):
    case = Case(batch=16, input_size=64, dtype=dtype, input=magnitude)
    values = draw_input(case).double().abs()
    tiny = torch.finfo(case.torch_dtype).tiny
    low, high = {
        "zero": (0, 0),
        "subnormal": (tiny * 1e-20, tiny * 0.5),
        "tiny": (tiny, tiny * 100),
        "usual": (1, 10),
        "large": (100, 1000),
    }[magnitude]
    assert low <= values.max() <= high


def normal(seed, name, *shape):
    """Draw from the generator of a name: seeded by the first 64 bits of a hash."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
    generator = torch.Generator().manual_seed(int(digest[:16], 16))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_tensors_are_scaled_draws(magnitude, dtype):
    """Input and state as drawn, weights by one over the root of their width, biases by half."""
    case = Case(
        *(4, 16, 2, 3, 5), dtype=dtype, seed=7, weights=magnitude, input=magnitude, state=magnitude
    )
    limits = torch.finfo(case.torch_dtype)

    def scaled(values, scale, magnitude=magnitude):
        return {
            "zero": values * 0,
            "usual": values * scale,
            "large": values * (scale * 64),
            "tiny": values * (limits.tiny * 16),
            "subnormal": (values * 4).round() * (limits.tiny * limits.eps),
        }[magnitude].to(case.torch_dtype)

    assert torch.equal(draw_input(case), scaled(normal(7, "input", 5, 3, 4), 1))
    assert torch.equal(draw_h0(case), scaled(normal(7, "h0", 2, 3, 16), 1))
    of_biases = "usual" if magnitude == "zero" else magnitude
    for index, layer in enumerate(draw_weights(case)):
        width, scale = (16, 0.25) if index else (4, 0.5)
        expected = {
            "weight_ih": scaled(normal(7, f"weight_ih {index}", 48, width), scale),
            "weight_hh": scaled(normal(7, f"weight_hh {index}", 48, 16), 0.25),
            "bias_ih": scaled(normal(7, f"bias_ih {index}", 48), 0.5, of_biases),
            "bias_hh": scaled(normal(7, f"bias_hh {index}", 48), 0.5, of_biases),
        }
        assert layer.keys() == expected.keys()
        assert all(torch.equal(layer[name], value) for name, value in expected.items())


def test_zero_weights_keep_their_biases():
    layer = draw_weights(Case(hidden_size=4, weights="zero"))[0]
    assert not layer["weight_hh"].any()
    assert layer["bias_hh"].all()


def test_numbers_stand_in_for_those_drawn():
    case = Case(2, 3, 2, 2, 2)
    numbers = numbers_of(case)
    assert set(numbers) >= {"input", "h0", "weight_ih 0", "bias_hh 1"}
    assert numbers_of(with_numbers(case, numbers)) == numbers
    ones = with_numbers(case, {**numbers, "input": [1.0] * 8})
    assert ones != case
    assert draw_input(ones).flatten().tolist() == [1.0] * 8
    assert draw_input(replace(ones, seq_len=1, batch=4)).shape == (1, 4, 2)
    assert torch.equal(draw_h0(ones), draw_h0(case))


def test_a_literal_case_has_at_most_64_numbers_besides_zeros():
    assert is_literal(Case(input_size=15, bias=False))  # 64 numbers
    assert not is_literal(Case(input_size=12, batch=2, bias=False))  # 65
    assert is_literal(Case(input_size=12, batch=2, bias=False, state="zero"))  # 63, and 2 zeros
