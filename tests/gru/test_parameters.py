"""Weights: names, shapes and copies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stackgru.gru.parameters import copy_layers, gru_layers, parameter_shapes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_shapes_are_those_of_gru(num_layers, bias):
    gru = nn.GRU(2, 5, num_layers, bias=bias)
    expected = [
        {name: tuple(value.shape) for name, value in layer.items()} for layer in gru_layers(gru)
    ]
    assert parameter_shapes(2, 5, num_layers, bias) == expected


@pytest.mark.parametrize("bias", [True, False])
def test_layers_hold_every_parameter_of_gru_itself(bias):
    gru = nn.GRU(2, 5, 2, bias=bias)
    found = {
        f"{name}_l{n}": p for n, layer in enumerate(gru_layers(gru)) for name, p in layer.items()
    }
    assert found.keys() == dict(gru.named_parameters()).keys()
    assert all(found[name] is parameter for name, parameter in gru.named_parameters())


def test_a_copy_is_equal_and_apart():
    source, target = nn.GRU(2, 5, 2), nn.GRU(2, 5, 2)
    copy_layers(gru_layers(source), gru_layers(target))
    for old, new in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(old, new)
        assert old is not new
        assert new.requires_grad


def test_biases_that_only_the_target_has_become_zero():
    source, target = nn.GRU(2, 5, bias=False), nn.GRU(2, 5)
    copy_layers(gru_layers(source), gru_layers(target))
    assert torch.equal(target.weight_hh_l0, source.weight_hh_l0)
    assert not target.bias_ih_l0.any()
    assert not target.bias_hh_l0.any()


def test_stacks_of_other_heights_are_not_copied():
    with pytest.raises(ValueError, match="zip"):
        copy_layers(gru_layers(nn.GRU(2, 5, 1)), gru_layers(nn.GRU(2, 5, 2)))
