"""The masks that nn.GRU draws, which are drawn again without it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stackgru.cases.case import MAX_SEED
from stackgru.cases.strategies import cases
from stackgru.harness import reference
from stackgru.harness.masks import Recorder
from stackgru.harness.pair import Pair
from stackgru.harness.reference import layer_masks, reference_masks, seeded_reference
from stackgru.targets.probe import supported_dtypes
from stackgru.targets.target import load
from tests.helpers import DROPS
from tests.subjects.right.variants import Stack


@given(
    cases(partial=True, min_layers=2, mode="train", dtypes=supported_dtypes()),
    st.integers(0, MAX_SEED),
)
def test_masks_drawn_again_are_those_that_nn_gru_draws(case, seed):
    pair = Pair(load(Stack), case)
    masks = reference_masks(pair, seed)
    after = torch.get_rng_state()
    pair.seed(seed)
    with Recorder() as recorder:
        pair.run_reference()
    seen = layer_masks(pair, recorder)
    assert (masks is None) == (seen is None)
    if masks is not None:
        assert torch.equal(masks, seen)
        assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("dtype", supported_dtypes())
def test_nn_gru_draws_layer_by_layer(dtype):
    before = torch.get_rng_state()
    # What is cached draws nothing.
    assert reference._draws_layer_by_layer.__wrapped__(getattr(torch, dtype), torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_where_it_does_not_its_masks_are_recorded(monkeypatch):
    pair = Pair(load(Stack), DROPS)
    expected = reference_masks(pair)
    monkeypatch.setattr(reference, "_draws_layer_by_layer", lambda dtype, device: False)
    run, masks = seeded_reference(pair)
    assert torch.equal(masks, expected)
    assert run.hn.shape == pair.h0.shape
