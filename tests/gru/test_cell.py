"""The bundled cell: its form, its state dict, its initial weights, and what it refuses."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch
from torch import nn

from stackgru import RefusedArgument, StackingGRUCell, as_gru
from stackgru.gru.parameters import gru_layers
from stackgru.gru.validation import autocast


def test_prints_as_the_seeds_class():
    assert repr(StackingGRUCell(5, 10, 3, 0.1)) == (
        "StackingGRUCell(\n"
        "  (grus): ModuleList(\n"
        "    (0): GRUCell(5, 10)\n"
        "    (1): GRUCell(10, 10)\n"
        "    (2): GRUCell(10, 10)\n"
        "  )\n"
        "  (dropout): Dropout(p=0.1, inplace=False)\n"
        ")"
    )


def test_an_old_checkpoint_loads_unchanged():
    old = nn.Module()
    old.grus = nn.ModuleList([nn.GRUCell(5, 10), nn.GRUCell(10, 10)])
    old.dropout = nn.Dropout(0.1)
    cell = StackingGRUCell(5, 10, 2, 0.1)
    cell.load_state_dict(old.state_dict(), strict=True)
    assert list(cell.state_dict()) == list(old.state_dict())
    assert torch.equal(cell.grus[1].weight_hh, old.grus[1].weight_hh)


def test_what_is_left_out_is_what_gru_takes():
    cell, gru = StackingGRUCell(3, 4), nn.GRU(3, 4)
    assert (cell.num_layers, cell.dropout.p) == (gru.num_layers, gru.dropout) == (1, 0.0)
    assert "bias_ih" in cell.grus[0].state_dict()


@pytest.mark.parametrize("dropout", [0, 1, 0.0, 1.0, Fraction(1, 2)])
def test_the_smallest_sizes_and_every_rate_are_built(dropout):
    cell = StackingGRUCell(1, 1, 1, dropout)
    assert cell.dropout.p == dropout
    assert cell(torch.zeros(1, 1))[1].shape == (1, 1, 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_seed_gives_the_initial_weights_of_gru(bias, dtype):
    torch.manual_seed(7)
    cell = StackingGRUCell(3, 4, 3, bias=bias, dtype=dtype)
    torch.manual_seed(7)
    gru = nn.GRU(3, 4, 3, bias=bias, dtype=dtype)
    for own, reference in zip(cell.grus, gru_layers(gru), strict=True):
        assert {name for name, _ in own.named_parameters()} == set(reference)
        for name, value in reference.items():
            assert torch.equal(getattr(own, name), value)


def test_no_state_means_zeros():
    cell = StackingGRUCell(3, 4, 2)
    input = torch.randn(5, 3)
    for own, zeros in zip(cell(input), cell(input, torch.zeros(2, 5, 4)), strict=True):
        assert torch.equal(own, zeros)


def test_a_single_row_without_a_state_has_zeros_of_its_dtype():
    cell = StackingGRUCell(3, 4, 2, dtype=torch.float64)
    input = torch.randn(3, dtype=torch.float64)
    assert torch.equal(cell(input)[1], cell(input, torch.zeros(2, 4).double())[1])


def test_a_single_row_needs_no_batch():
    cell = StackingGRUCell(3, 4, 2)
    input, h0 = torch.randn(3), torch.randn(2, 4)
    output, hn = cell(input, h0)
    batched = cell(input[None], h0[:, None])
    assert output.shape == (4,)
    torch.testing.assert_close(hn, batched[1][:, 0])


def test_a_transposed_state_gives_the_masks_of_gru():
    """The smallest sizes at which a stack without contiguous() was seen to part (torch 2.13)."""
    cell = StackingGRUCell(10, 2, 2, 0.5)
    gru = nn.GRU(10, 2, 2, dropout=0.5)
    with torch.no_grad():
        for own, reference in zip(cell.grus, gru_layers(gru), strict=True):
            for name, value in reference.items():
                value.copy_(getattr(own, name))
    for seed in range(20):
        input, h0 = torch.randn(5, 10), torch.randn(2, 2, 5).transpose(1, 2)
        torch.manual_seed(seed)
        output, hn = cell(input, h0)
        torch.manual_seed(seed)
        expected, expected_hn = gru(input[None], h0)
        assert torch.equal(output, expected[0])
        assert torch.equal(hn, expected_hn)


def test_scripts_and_copies():
    cell = StackingGRUCell(3, 4, 2, 0.5).eval()
    input, h0 = torch.randn(5, 3), torch.randn(2, 5, 4)
    with pytest.warns() if torch.__version__ >= "2.10" else pytest.MonkeyPatch.context():
        scripted = torch.jit.script(cell)
    for other in (scripted, copy.deepcopy(cell)):
        assert torch.equal(other(input, h0)[1], cell(input, h0)[1])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((0, 4), ValueError, "input_size must be at least 1, got 0"),
        ((3, -1), ValueError, "hidden_size must be at least 1, got -1"),
        ((3, 4, 0), ValueError, "num_layers must be at least 1, got 0"),
        ((3, 4, 1.0), TypeError, "num_layers must be an int, got 1.0"),
        ((True, 4), TypeError, "input_size must be an int, got True"),
        ((3, 4, 2, 1.5), ValueError, r"dropout must be a number in \[0, 1\], got 1.5"),
        ((3, 4, 2, -0.1), ValueError, r"dropout must be a number .* got -0\.1"),
        ((3, 4, 2, float("nan")), ValueError, "got nan"),
        ((3, 4, 2, True), ValueError, "got True"),
        ((3, 4, 2, "0.5"), ValueError, "got '0.5'"),
        ((3, 4, 2, torch.tensor(0.5)), ValueError, "dropout"),
        ((3, 4, 2, 0.5, 1), TypeError, "bias must be a bool, got 1"),
    ],
)
def test_refuses_to_be_built(arguments, error, said):
    with pytest.raises(error, match=said):
        StackingGRUCell(*arguments)


@pytest.mark.parametrize(
    ("input_shape", "h0_shape", "said"),
    [
        ((5, 2), (2, 5, 4), r"input must have shape .*\(batch, 3\).* got \(5, 2\)"),
        ((1, 5, 3), (2, 5, 4), r"input must have shape .* got \(1, 5, 3\)"),
        ((), (2, 4), "input must have shape"),
        ((5, 3), (3, 5, 4), r"h0 must have shape .* \(2, 5, 4\), got \(3, 5, 4\)"),
        ((5, 3), (1, 5, 4), "h0 must have shape"),
        ((5, 3), (2, 6, 4), "h0 must have shape"),
        ((5, 3), (2, 1, 4), "h0 must have shape"),
        ((5, 3), (2, 5, 3), "h0 must have shape"),
        ((5, 3), (2, 4), r"h0 must have shape \(num_layers, batch, hidden_size\) = \(2, 5, 4\)"),
        ((3,), (2, 1, 4), r"h0 must have shape \(num_layers, hidden_size\) = \(2, 4\)"),
    ],
)
def test_refuses_wrong_shapes(input_shape, h0_shape, said):
    with pytest.raises(RefusedArgument, match=said):
        StackingGRUCell(3, 4, 2)(torch.zeros(input_shape), torch.zeros(h0_shape))


@pytest.mark.parametrize("wrong", ["input", "h0"])
def test_refuses_wrong_dtypes(wrong):
    tensors = {"input": torch.zeros(5, 3), "h0": torch.zeros(2, 5, 4)}
    tensors[wrong] = tensors[wrong].double()
    cell = StackingGRUCell(3, 4, 2)
    for error in (ValueError, RuntimeError):  # what nn.GRU raises depends on the version
        with pytest.raises(error, match=f"{wrong} must be torch.float32 .* got torch.float64"):
            cell(**tensors)


def test_autocast_may_mix_dtypes():
    cell = StackingGRUCell(3, 4, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = cell(torch.zeros(5, 3).bfloat16(), torch.zeros(2, 5, 4))
    assert output.shape == (5, 4)


def test_without_autocast_no_dtypes_are_mixed():
    input, h0 = torch.zeros(5, 3).bfloat16(), torch.zeros(2, 5, 4).bfloat16()
    for arguments in ((input, h0), (input, h0.float()), (input.float(), h0), (input, None)):
        with pytest.raises(RefusedArgument, match=r"must be torch\.float32"):
            StackingGRUCell(3, 4, 2)(*arguments)


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_autocast_of_a_device_before_torch_2_4(monkeypatch, device_type):
    """There the cpu had a function of its own, and the other took no argument."""
    monkeypatch.setattr(torch, "is_autocast_cpu_enabled", lambda: "cpu")
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda: "cuda")
    assert autocast(device_type) == device_type


@pytest.mark.parametrize("bias", [True, False])
def test_a_sequence_has_the_results_of_gru(bias):
    cell = StackingGRUCell(3, 4, 2, bias=bias)
    x, gru = torch.randn(5, 2, 3), as_gru(cell)
    assert all(torch.equal(*both) for both in zip(cell.unroll(x), gru(x), strict=True))


def test_an_empty_batch_is_fine():
    output, hn = StackingGRUCell(3, 4, 2, 0.5)(torch.zeros(0, 3), torch.zeros(2, 0, 4))
    assert output.shape == (0, 4)
    assert hn.shape == (2, 0, 4)
