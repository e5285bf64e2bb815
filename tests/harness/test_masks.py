"""Masks: recorded as they are drawn, injected as they are asked for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stackgru.harness import masks as masks_module
from stackgru.harness.masks import ORDERS, Draw, Injector, Recorder, arrange


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
        lambda: torch.bernoulli(torch.empty(3, 4), 0.25),
        lambda: torch.native_dropout(torch.ones(3, 4), 0.75, True)[0],
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
    assert given.dtype == drawn.dtype
    assert injector.complete
    assert torch.equal(before, torch.get_rng_state()), "an injected mask draws nothing"


@pytest.mark.parametrize("rates", [[0.25, 0.5], [0.5, 0.25], []])
def test_rates_that_differ_are_recorded_as_nan(rates):
    with Recorder() as recorder:
        torch.bernoulli(torch.tensor(rates))
    assert recorder.draws[0].keep != recorder.draws[0].keep


def test_a_rate_that_is_left_out_is_a_half():
    with Recorder() as recorder:
        torch.empty(3).bernoulli_()
    assert recorder.draws[0].keep == 0.5


def test_a_recorded_mask_stays_as_it_was_drawn():
    drawn = torch.empty(3)
    with Recorder() as recorder:
        drawn.bernoulli_(1.0)
        drawn.zero_()
    assert recorder.draws[0].mask.tolist() == [True] * 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        recorder.draws[0].keep = 0.5


def test_the_mask_of_native_dropout_is_not_its_output():
    with Recorder() as recorder:
        torch.native_dropout(torch.zeros(3), 0.0, True)
    assert recorder.draws[0].mask.tolist() == [True] * 3


def test_an_injected_mask_of_native_dropout_is_scaled_and_given_back():
    kept = torch.tensor([True, False])
    with Injector([kept]):
        output, mask = torch.native_dropout(torch.tensor([3.0, 5.0]), 0.75, True)
    assert output.tolist() == [12.0, 0.0]
    assert torch.equal(mask, kept)


@pytest.mark.parametrize("mode", [Recorder, lambda: Injector([])])
def test_other_operators_run_as_they_would(mode):
    with mode():
        assert torch.zeros(2, dtype=torch.float64).dtype == torch.float64


def test_other_draws_are_named():
    with Recorder() as recorder:
        torch.rand(3)
        torch.zeros(3) + 1
    assert recorder.draws == []
    assert len(recorder.others) == 1
    assert "rand" in recorder.others[0]


@pytest.mark.skipif(not hasattr(torch.Tag, "nondeterministic_seeded"), reason="torch has no tag")
def test_other_draws_are_known_by_their_tag():
    with Recorder() as recorder:
        torch.empty(3).geometric_(0.5)
    assert "geometric" in recorder.others[0]


def test_other_draws_are_known_by_their_name_where_torch_has_no_tag(monkeypatch):
    monkeypatch.setattr(torch, "Tag", object)
    masks_module._draws_random_numbers.cache_clear()
    with Recorder() as recorder:
        torch.empty(3).uniform_()
        torch.zeros(3) + 1
    masks_module._draws_random_numbers.cache_clear()
    assert [name.split(".")[1] for name in recorder.others] == ["uniform_"]


def test_the_rate_is_recorded_before_a_mask_overwrites_it():
    probabilities = torch.full((4,), 0.5)
    with Recorder() as recorder:
        probabilities.bernoulli_(probabilities)
    assert recorder.draws[0].keep == 0.5


def test_a_misfit_is_recorded():
    with Injector([torch.ones(2, 3, dtype=torch.bool)]) as injector:
        torch.empty(4).bernoulli_(0.5)
        torch.empty(2, 3).bernoulli_(0.5)
    assert not injector.complete
    assert injector.asked == 2
    assert injector.misfit == (4,)


def test_the_first_misfit_is_recorded_and_the_masks_after_it_are_given():
    masks = [torch.ones(2, 3) > 0, torch.ones(4) > 0]
    with Injector(masks) as injector:
        torch.empty(5).bernoulli_(0.5)
        given = torch.empty(1, 4).bernoulli_(0.0)
        torch.empty(6).bernoulli_(0.5)
    assert given.tolist() == [[1.0] * 4]
    assert injector.asked == 3
    assert injector.misfit == (5,)


@pytest.mark.parametrize(("asked", "complete"), [(0, False), (1, False), (2, True), (3, False)])
def test_all_masks_and_no_more_are_complete(asked, complete):
    with Injector([torch.ones(4) > 0] * 2) as injector:
        for _ in range(asked):
            torch.empty(4).bernoulli_(0.5)
    assert injector.asked == asked
    assert injector.complete == complete
    assert injector.misfit == ((4,) if asked == 3 else None)


def test_the_orders_are_what_they_are_called():
    masks = torch.arange(120).reshape(2, 3, 4, 5)
    layers, steps = range(2), range(3)
    expected = {
        "layer order": [masks[layer] for layer in layers],
        "time order": [masks[layer, step] for step in steps for layer in layers],
        "layer order, step by step": [masks[layer, step] for layer in layers for step in steps],
        "layer order, batch first": [masks[layer].permute(1, 0, 2) for layer in layers],
        "all layers of a step at once": [masks[:, step] for step in steps],
        "all layers and steps at once": [masks],
    }
    assert expected.keys() == ORDERS.keys()
    for order, blocks in expected.items():
        for own, block in zip(ORDERS[order](masks), blocks, strict=True):
            assert torch.equal(own, block)


@pytest.mark.parametrize("order", ORDERS)
def test_orders_go_forth_and_back(order):
    masks = torch.rand(2, 3, 4, 5) < 0.5
    draws = [Draw(block.clone(), 0.5) for block in ORDERS[order](masks)]
    assert torch.equal(arrange(draws, (2, 3, 4, 5), order), masks)
    assert arrange(draws[1:], (2, 3, 4, 5), order) is None


def test_a_mask_without_its_dimensions_of_size_one_fits():
    drawn = torch.tensor([True, False, True])
    arranged = arrange([Draw(drawn, 0.5)], (1, 1, 1, 3), "layer order")
    assert torch.equal(arranged, drawn[None, None, None])


def test_draws_of_another_shape_are_in_no_order():
    draws = [Draw(torch.ones(1, 5, dtype=torch.bool), 0.5)] * 6
    assert all(arrange(draws, (2, 3, 4, 5), order) is None for order in ORDERS)
