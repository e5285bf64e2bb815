"""compare: rounding is told from what is not, without a tolerance."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import stackgru
from stackgru.options import UsageError

FORMS = [
    ({}, (7, 3, 5)),
    ({}, (7, 5)),
    ({"batch_first": True, "num_layers": 2, "bidirectional": True}, (3, 7, 5)),
    ({"num_layers": 3, "bias": False}, (7, 3, 5)),
]


def gru_and_input(seed, kwargs, shape):
    torch.manual_seed(seed)
    return nn.GRU(5, 4, **kwargs), torch.randn(*shape)


def one_layer(gru, x, change=lambda r, z, n: (r, z, n)):
    """Return output and hn of nn.GRU's equation with its gates changed."""
    weight_ih, weight_hh, bias_ih, bias_hh = (one.detach() for one in gru.parameters())
    h, outputs = torch.zeros(x.shape[1], 4), []
    for step in x:
        x_r, x_z, x_n = (step @ weight_ih.T + bias_ih).chunk(3, -1)
        h_r, h_z, h_n = (h @ weight_hh.T + bias_hh).chunk(3, -1)
        r, z, n = change(torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z), x_n)
        n = torch.tanh(n + r * h_n)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs), h[None]


@given(st.integers(0, 2**32 - 1), st.sampled_from(FORMS))
def test_a_finer_evaluation_is_within_rounding(seed, form):
    gru, x = gru_and_input(seed, *form)
    output, hn = copy.deepcopy(gru).double()(x.double())
    found = stackgru.compare(gru, x, None, output.float(), hn.float())
    assert found.within
    assert found.first is None
    assert found.allowed.output.shape == output.shape
    assert found.allowed.hn.shape == hn.shape
    torch.testing.assert_close(output.float().double(), output, atol=1e-6, rtol=0)
    assert found.allowed.output.max() < 1e-3, "a bound that says something"


@pytest.mark.parametrize("form", FORMS)
def test_the_first_number_that_is_further_off_is_told(form):
    gru, x = gru_and_input(0, *form)
    output, hn = gru(x)
    allowed = stackgru.compare(gru, x, None, output, hn).allowed.output
    changed = output.detach().clone()
    at = (1, -1, 2) if gru.batch_first else (-1, *(1,) * (x.dim() == 3), 2)
    changed[at] += 1.1 * float(allowed[at])
    found = stackgru.compare(gru, x, None, changed, hn)
    assert not found.within
    assert (found.first.step, found.first.layer) == (6, gru.num_layers - 1)
    assert found.first.difference > found.first.allowed
    assert str(found.first).startswith(f"step 6, layer {gru.num_layers - 1}")


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        (lambda r, z, n: (r, 1 - z, n), "z"),
        (lambda r, z, n: (r, z, n + 1), "n"),
        (lambda r, z, n: (r, z, n), None),
    ],
)
def test_the_gate_is_told_if_it_alone_can_be_wrong(change, gate):
    gru, x = gru_and_input(0, {}, (7, 3, 5))
    found = stackgru.compare(gru, x, None, *one_layer(gru, x, change))
    assert found.within == (gate is None)
    if gate is not None:
        assert (found.first.step, found.first.gate) == (0, gate)


def test_a_lower_layer_shows_in_hn():
    gru, x = gru_and_input(0, {"num_layers": 3}, (7, 3, 5))
    output, hn = gru(x)
    wrong = hn.detach().clone()
    wrong[1, 0, 0] += 1
    assert stackgru.compare(gru, x, None, output, wrong).first.layer == 1


def test_approximated_activations_are_allowed_if_they_are_stated():
    gru, x = gru_and_input(0, {}, (1, 3, 5))
    gru.weight_ih_l0.data.mul_(1e-4)
    for bias in (gru.bias_ih_l0, gru.bias_hh_l0):
        bias.data.zero_()
    output, hn = gru(x)
    off = output.detach() + 1e-7
    assert not stackgru.compare(gru, x, None, off, off[-1:]).within
    assert stackgru.compare(gru, x, None, off, off[-1:], activation_error=3e-7).within
    with pytest.raises(UsageError, match=r"from 0 to 1e-06, got 0\.01"):
        stackgru.compare(gru, x, None, off, hn, activation_error=0.01)


def test_what_cannot_be_compared_is_refused():
    gru, x = gru_and_input(0, {"num_layers": 2, "dropout": 0.5}, (7, 3, 5))
    output, hn = gru(x)
    with pytest.raises(UsageError, match="drops out in training"):
        stackgru.compare(gru, x, None, output, hn)
    gru.eval()
    with pytest.raises(UsageError, match=r"output must be \(7, 3, 4\), got \(6, 3, 4\)"):
        stackgru.compare(gru, x, None, output[1:], hn)


def test_what_is_no_number_in_both_is_no_difference():
    gru, x = gru_and_input(0, {}, (7, 3, 5))
    x[1, 0, 0] = float("nan")
    output, hn = (one.detach() for one in gru(x))
    assert stackgru.compare(gru, x, None, output, hn).within
    output[3, 1, 0] += 1
    assert stackgru.compare(gru, x, None, output, hn).first.step == 3
    swallowed = output.nan_to_num(), hn.nan_to_num()
    assert stackgru.compare(gru, x, None, *swallowed).first.step == 1
    x[1, 0, 0] = 0.0
    assert not stackgru.compare(gru, x, None, output, hn).within


def test_arrays_are_compared_and_each_in_its_own_dtype():
    gru, x = gru_and_input(0, {}, (7, 3, 5))
    output, hn = (one.detach() for one in gru(x))
    assert stackgru.compare(gru, x, None, output.numpy(), hn.half().numpy()).within
    assert not stackgru.compare(gru, x, None, output.half(), hn + 1e-4).within


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda gru, x, o, h: (nn.RNN(5, 4), x, None, o, h), "must be an nn.GRU, got RNN"),
        (lambda gru, x, o, h: (gru, x.tolist(), None, o, h), "input must be a tensor, got list"),
        (
            lambda gru, x, o, h: (gru, x, None, o.int(), h),
            r"output must be of .*, got torch\.int32",
        ),
    ],
)
def test_what_is_no_result_is_refused(change, text):
    gru, x = gru_and_input(0, {}, (7, 3, 5))
    with pytest.raises(UsageError, match=text):
        stackgru.compare(*change(gru, x, *gru(x)))
