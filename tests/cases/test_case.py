"""Cases: the text form and back, and the tensors."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch
from hypothesis import given

from stackgru.cases.case import DTYPES, MAGNITUDES, Case, draw_h0, draw_input, draw_weights
from stackgru.cases.strategies import cases

SEED_EXAMPLE = (
    "input_size=5 hidden_size=10 num_layers=3 batch=7 seq_len=1 dropout=0.1 dtype=float32 "
    "mode=train seed=1215"
)


@given(cases())
def test_text_and_back(case):
    assert Case.parse(str(case)) == case


def test_text_of_the_seeds_example():
    assert str(Case.parse(SEED_EXAMPLE)) == SEED_EXAMPLE
    shown = str(Case(bias=False, state="large"))
    assert shown.endswith("seed=0 bias=False state=large")


def test_what_is_left_out_of_a_text_is_plain():
    """One of everything, no dropout, seed 0; what comes after the seed is told where it is not."""
    plain = "input_size=1 hidden_size=1 num_layers=1 batch=1 seq_len=1 dropout=0.0 dtype=float64"
    assert str(Case()) == f"{plain} mode=eval seed=0"
    assert Case.parse("") == Case() == Case(bias=True, weights="usual", input="usual")
    assert Case.parse("bias=True dropout=1") == Case(dropout=1.0)
    assert Case.parse("bias=False") == Case(bias=False)
    assert str(Case(actions="step,to")) == f"{plain} mode=eval seed=0 actions=step,to"


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers", "seq_len", "batch"])
def test_the_smallest_sizes(name):
    smallest = 0 if name == "batch" else 1
    assert getattr(Case(**{name: smallest}), name) == smallest
    with pytest.raises(ValueError, match=f"{name} is too small: {smallest - 1}"):
        Case(**{name: smallest - 1})


def test_the_largest_seed_is_of_64_bits():
    assert Case(seed=2**64 - 1).seed == 18446744073709551615
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed must be in 0 to"):
            Case(seed=seed)


def test_a_name_like_no_other_has_no_hint():
    with pytest.raises(ValueError, match=r"^a case has no 'zzz'$"):
        Case.parse("zzz=1")


def test_a_case_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Case().batch = 2


@pytest.mark.parametrize(
    ("text", "drops", "scale"),
    [
        ("mode=train num_layers=2 dropout=0.75", True, 4.0),
        ("mode=train num_layers=2 dropout=0.75 batch=0", False, 4.0),
        ("mode=train num_layers=1 dropout=0.75", False, 4.0),
        ("mode=train num_layers=2 dropout=0", False, 1.0),
        ("mode=train num_layers=2 dropout=1", False, 0.0),
        ("mode=eval num_layers=2 dropout=0.75", False, 1.0),
        ("mode=eval num_layers=2 dropout=1", False, 1.0),
    ],
)
def test_when_masks_are_drawn_and_what_they_scale(text, drops, scale):
    case = Case.parse(text)
    assert case.drops == drops
    assert case.dropout_scale == scale


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hidden_sizes=3", "did you mean 'hidden_size'"),
        ("batch", "expected name=value"),
        ("batch=1 batch=2", "given twice"),
        ("batch=two", "batch must be a whole number, got 'two'"),
        ("dropout=half", "dropout must be a number"),
        ("dropout=nan", r"dropout must be in \[0, 1\]"),
        ("dropout=1.5", r"dropout must be in \[0, 1\]"),
        ("dropout=-0.1", r"dropout must be in \[0, 1\]"),
        ("bias=0", "bias must be True or False"),
        ("dtype=float8", "dtype must be one of float64"),
        ("num_layers=0", "num_layers is too small"),
        ("seed=18446744073709551616", "seed must be in 0"),
        ("actions=step,jump", "actions must be among step, train, .*, got 'jump'"),
        ("seed=__import__('os').getpid()", "seed must be a whole number"),
    ],
)
def test_a_text_that_is_no_case_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Case.parse(text)


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
