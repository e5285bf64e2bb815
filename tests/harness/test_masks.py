"""Masks: recorded as they are drawn, injected as they are asked for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from stackgru.harness import masks as masks_module
from stackgru.harness.masks import ORDERS, Draw, Injector, Recorder, arrange, flat


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
    after = torch.get_rng_state()
    torch.manual_seed(3)
    with Injector(mask.flatten()) as injector:
        given = draw()
    assert torch.equal(given != 0, mask)
    assert given.dtype == drawn.dtype
    assert injector.complete
    assert torch.equal(after, torch.get_rng_state()), "the generator moves on as it would"


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
    with Injector(kept):
        output, mask = torch.native_dropout(torch.tensor([3.0, 5.0]), 0.75, True)
    assert output.tolist() == [12.0, 0.0]
    assert torch.equal(mask, kept)


@pytest.mark.parametrize("mode", [Recorder, lambda: Injector(torch.zeros(0) > 0)])
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


def test_other_draws_are_known_by_their_tag():
    with Recorder() as recorder:
        torch.empty(3).geometric_(0.5)
    assert "geometric" in recorder.others[0]


def test_the_rate_is_recorded_before_a_mask_overwrites_it():
    probabilities = torch.full((4,), 0.5)
    with Recorder() as recorder:
        probabilities.bernoulli_(probabilities)
    assert recorder.draws[0].keep == 0.5


def test_masks_are_given_value_by_value_whatever_the_shapes():
    kept = torch.tensor([True, False, False, True, True, False])
    with Injector(kept) as injector:
        one = torch.empty(2).bernoulli_(0.5)
        nothing = torch.empty(0, 3).bernoulli_(0.5)
        other = torch.empty(2, 2).bernoulli_(0.5)
    assert torch.equal(torch.cat([one, other.flatten()]) != 0, kept)
    assert nothing.shape == (0, 3)
    assert injector.complete
    assert injector.shapes == [(2,), (2, 2)]


@pytest.mark.parametrize(("asked", "complete"), [(0, False), (1, False), (2, True), (3, False)])
def test_all_values_and_no_more_are_complete(asked, complete):
    with Injector(torch.ones(8) > 0) as injector:
        for _ in range(asked):
            torch.empty(4).bernoulli_(0.5)
    assert injector.drawn == 4 * asked
    assert injector.complete == complete


@pytest.mark.parametrize("has_task_id", [True, False])
def test_what_a_backward_pass_draws_again_is_the_same_mask(has_task_id, monkeypatch):
    """A build without the number of the backward pass tells by who calls."""
    if not has_task_id:
        monkeypatch.setattr(masks_module, "_backward_pass", None)
    kept = torch.tensor([True, False, False, True])
    x = torch.ones(2, requires_grad=True)
    torch.manual_seed(5)
    with Injector(kept) as injector:
        y = checkpoint(F.dropout, x, 0.5, use_reentrant=False)
        z = checkpoint(F.dropout, y, 0.5, use_reentrant=False)
        z.sum().backward()
    assert injector.complete
    assert (y != 0).tolist() == [True, False]
    assert x.grad.tolist() == [0.0, 0.0], "the second mask keeps what the first has dropped"


def test_what_is_drawn_again_from_one_seed_in_a_forward_pass_is_drawn_twice():
    with Injector(torch.ones(4) > 0) as injector:
        for _ in range(2):
            torch.manual_seed(0)
            torch.empty(4).bernoulli_(0.5)
    assert injector.drawn == 8


def test_the_orders_are_what_they_are_called():
    masks = torch.arange(2 * 4 * 2 * 3).reshape(2, 4, 2, 3)
    layers, steps = range(2), range(4)
    expected = {
        "layers, steps, rows, units": [masks],
        "steps, layers, rows, units": [masks[layer, step] for step in steps for layer in layers],
        "layers, rows, steps, units": [masks[layer].transpose(0, 1) for layer in layers],
        "units, layers, steps, rows": [masks[..., unit] for unit in range(3)],
        "steps, layers, rows, units, steps in reverse": [
            masks[layer, step] for step in reversed(steps) for layer in layers
        ],
        "layer after layer along diagonals": [
            masks[at] for at in [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (0, 3), (1, 2), (1, 3)]
        ],
        "step after step along diagonals": [
            masks[at] for at in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]
        ],
        "3 steps at once": [
            *(masks[layer, :3] for layer in layers),
            *(masks[layer, 3:] for layer in layers),
        ],
    }
    for order, blocks in expected.items():
        flat_blocks = torch.cat([block.flatten() for block in blocks])
        assert torch.equal(ORDERS[order](masks), flat_blocks), order


def test_orders_go_forth_and_back():
    shape = (3, 5, 2, 2)
    masks = torch.rand(shape) < 0.5
    places = torch.arange(masks.numel()).reshape(shape)
    for order, of in ORDERS.items():
        kept = flat([Draw(block, 0.5) for block in of(masks).split(4)])
        assert torch.equal(arrange(kept, of(places), shape), masks), order
        assert arrange(kept[1:], of(places), shape) is None


def test_what_has_no_place_is_kept():
    arranged = arrange(torch.tensor([False]), torch.tensor([1]), (1, 1, 1, 3))
    assert arranged.flatten().tolist() == [True, False, True]
