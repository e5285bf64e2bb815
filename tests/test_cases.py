"""Cases: the text form and back, and the tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from stackgru.cases import DTYPES, MAGNITUDES, Case, draw_h0, draw_input, draw_weights
from stackgru.strategies import cases

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
        ("bias=0", "bias must be True or False"),
        ("dtype=float8", "dtype must be one of float64"),
        ("num_layers=0", "num_layers is too small"),
        ("seed=18446744073709551616", "seed must be in 0"),
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


def test_zero_weights_keep_their_biases():
    layer = draw_weights(Case(hidden_size=4, weights="zero"))[0]
    assert not layer["weight_hh"].any()
    assert layer["bias_hh"].all()
