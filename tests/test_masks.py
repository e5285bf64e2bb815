"""Masks: recorded as they are drawn, injected as they are asked for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stackgru.masks import ORDERS, Draw, Injector, Recorder, arrange


def test_records_the_masks_of_gru():
    gru = nn.GRU(2, 4, 3, dropout=0.25)
    input = torch.randn(5, 6, 2)
    with Recorder() as recorder:
        gru(input)
    assert [draw.mask.shape for draw in recorder.draws] == [(5, 6, 4)] * 2
    assert [draw.keep for draw in recorder.draws] == [0.75] * 2
    assert recorder.others == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.empty(3, 4).bernoulli_(0.25),
        lambda: torch.empty(3, 4).bernoulli_(torch.tensor(0.25)),
        lambda: torch.bernoulli(torch.full((3, 4), 0.25)),
        lambda: F.dropout(torch.ones(3, 4), 0.75),
        lambda: nn.Dropout(0.75)(torch.ones(3, 4)),
    ],
)
def test_records_and_injects_every_way_to_draw_a_mask(draw):
    torch.manual_seed(3)
    with Recorder() as recorder:
        drawn = draw()
    assert len(recorder.draws) == 1
    assert torch.equal(recorder.draws[0].mask, drawn != 0)
    assert recorder.draws[0].keep == 0.25
    mask = torch.tensor([[True, False] * 2] * 3)
    before = torch.get_rng_state()
    with Injector([mask]) as injector:
        given = draw()
    assert torch.equal(given != 0, mask)
    assert injector.complete
    assert torch.equal(before, torch.get_rng_state()), "an injected mask draws nothing"


def test_rates_that_differ_are_told():
    with Recorder() as recorder:
        torch.bernoulli(torch.tensor([0.25, 0.5]))
    assert recorder.draws[0].keep != recorder.draws[0].keep


def test_other_draws_are_named():
    with Recorder() as recorder:
        torch.rand(3)
    assert recorder.draws == []
    assert "rand" in recorder.others[0]


def test_the_rate_is_recorded_before_a_mask_overwrites_it():
    probabilities = torch.full((4,), 0.5)
    with Recorder() as recorder:
        probabilities.bernoulli_(probabilities)
    assert recorder.draws[0].keep == 0.5


def test_a_misfit_is_told():
    with Injector([torch.ones(2, 3, dtype=torch.bool)]) as injector:
        torch.empty(4).bernoulli_(0.5)
        torch.empty(2, 3).bernoulli_(0.5)
    assert not injector.complete
    assert injector.asked == 2
    assert injector.misfit == (4,)


@pytest.mark.parametrize("order", ORDERS)
def test_orders_go_forth_and_back(order):
    masks = torch.rand(2, 3, 4, 5) < 0.5
    draws = [Draw(block.clone(), 0.5) for block in ORDERS[order](masks)]
    assert torch.equal(arrange(draws, (2, 3, 4, 5), order), masks)
    assert arrange(draws[1:], (2, 3, 4, 5), order) is None


def test_draws_of_another_shape_are_in_no_order():
    draws = [Draw(torch.ones(1, 5, dtype=torch.bool), 0.5)] * 6
    assert all(arrange(draws, (2, 3, 4, 5), order) is None for order in ORDERS)
