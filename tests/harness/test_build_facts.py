"""Facts of the build, where the build or the target leaves some of them open."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from stackgru.cases.case import DTYPES
from stackgru.harness import build_facts
from stackgru.harness.build_facts import measure
from stackgru.harness.masks import Recorder
from stackgru.targets.target import load
from tests.subjects.right.sequences import LayerByLayer
from tests.subjects.right.variants import Stack


class NotOfSixteen(Stack):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        if hidden_size == 16:
            raise ValueError("16 is no size")
        super().__init__(input_size, hidden_size, num_layers, dropout)


def one_layer(input_size, hidden_size):
    return Stack(input_size, hidden_size)


def test_a_dtype_in_which_gru_does_not_run_is_left_out(monkeypatch):
    gru = nn.GRU

    def without_half(*sizes, dtype, **options):
        if str(dtype) == "torch.float16":
            raise RuntimeError("not implemented for 'Half'")
        return gru(*sizes, dtype=dtype, **options)

    every = build_facts.supported_dtypes.__wrapped__()
    assert every == build_facts.supported_dtypes()
    monkeypatch.setattr(nn, "GRU", without_half)
    left = build_facts.supported_dtypes.__wrapped__()
    assert left == tuple(name for name in every if name != "float16")
    assert set(left) < set(DTYPES)


def test_a_dtype_to_which_autocast_does_not_cast_is_left_out(monkeypatch):
    """As torch 1.13, which warns, leaves autocast off, and raises as it is left."""

    class Bfloat16Only(torch.autocast):
        def __init__(self, device_type, dtype):
            if dtype == torch.float16:
                warnings.warn("the target dtype is not supported. Disabling autocast", stacklevel=2)
            super().__init__(device_type, dtype)

    assert "bfloat16" in build_facts.supported_casts()
    assert dict(measure(load(one_layer)))["autocast"] == list(build_facts.supported_casts())
    monkeypatch.setattr(torch, "autocast", Bfloat16Only)
    assert build_facts.supported_casts.__wrapped__() == ("bfloat16",)


def test_a_fact_that_a_target_refuses_is_not_measured():
    facts = dict(build_facts.measure(load(NotOfSixteen)))
    assert facts["same_initial_weights"].startswith("not measured: ")
    assert "raised ValueError: 16 is no size" in facts["same_initial_weights"]
    assert facts["bitwise_equal_at_one_step"].endswith(" of 20"), "what it takes is measured"
    assert facts["whole_sequences_from_one_seed"] == {}


def test_one_layer_has_no_masks_to_compare():
    facts = dict(build_facts.measure(load(one_layer)))
    assert facts["same_initial_weights"] is True
    assert facts["whole_sequences_from_one_seed"] == {}


def test_masks_that_are_not_shown_are_not_compared(monkeypatch):
    """As with cuDNN, whose kernels draw them inside."""

    class SeesNothing(Recorder):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    assert dict(build_facts.measure(load(Stack)))["whole_sequences_from_one_seed"]
    monkeypatch.setattr(build_facts, "Recorder", SeesNothing)
    assert dict(build_facts.measure(load(Stack)))["whole_sequences_from_one_seed"] == {}


@pytest.mark.parametrize(("said", "found"), [("CPU capability usage: X9\n", "X9"), ("", "unknown")])
def test_what_the_build_says_of_the_processor(said, found, monkeypatch):
    monkeypatch.setattr("torch.__config__.show", lambda: f"Built\n{said}")
    assert dict(build_facts.measure(load(one_layer)))["cpu_capability"] == found


def test_whole_sequences_are_the_same_within_rounding_only():
    """A difference far below any that other masks make is still one."""

    class Slight(LayerByLayer):
        def result(self, output, hn):
            return output * (1 + 1e-6), torch.stack(hn)

    facts = [
        dict(measure(load(one)))["whole_sequences_from_one_seed"] for one in (LayerByLayer, Slight)
    ]
    assert set(facts[0].values()) == {"same"}
    assert "same" not in facts[1].values()
