"""In which order a target draws its masks, told by what they do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stackgru.harness.orders import found_orders
from stackgru.targets.target import load
from tests.subjects.broken.masks import CarriesDroppedStates, MaskKeptOverTime
from tests.subjects.broken.strict_only import MasksInReverse, MasksOneStepLate
from tests.subjects.right.sequences import LayerByLayer, MasksFirst, StepByStep
from tests.subjects.right.variants import Stack

TIME, LAYERS = "steps, layers, rows, units", "layers, steps, rows, units"


class OneValueAtATime(LayerByLayer):
    """Each value of a mask is drawn by itself, those of the last unit first."""

    def up(self, state, layer):
        if layer == self.num_layers - 1:
            return state
        columns = [
            F.dropout(unit, self.dropout.p, self.training) for unit in state.unbind(-1)[::-1]
        ]
        return torch.stack(columns[::-1], -1)


class TwoValuesSwapped(LayerByLayer):
    """As nn.GRU, but the first two units of a row, of one step and layer, have each other's."""

    def up(self, state, layer):
        if layer == self.num_layers - 1 or not self.training:
            return state
        mask = self.dropout(torch.ones_like(state))
        if layer == 1:
            mask[2, 1, :2] = mask[2, 1, :2].flip(0)
        return state * mask


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        (Stack, (TIME,)),
        (LayerByLayer, (LAYERS,)),
        (StepByStep, (TIME,)),
        (MasksFirst, (LAYERS,)),
        (MasksInReverse, (f"{LAYERS}, steps in reverse",)),
        (MasksOneStepLate, ()),  # the last step's first, then from the first on
        (OneValueAtATime, ()),
        (TwoValuesSwapped, ()),
        pytest.param(MaskKeptOverTime, None, marks=pytest.mark.nightly),
        pytest.param(CarriesDroppedStates, None, marks=pytest.mark.nightly),
    ],
)
def test_an_order_is_told_by_what_masks_do(subject, names):
    found = found_orders(load(subject))
    # In as few steps, five and more at once are nn.GRU's order.
    assert (found if found is None else found[: len(names) or None]) == names


def test_an_order_is_another_in_another_form():
    """Without an axis of rows, what is transposed are steps and units."""
    target = load("tests.subjects.right.sequences:BatchFirstInside")
    plain, unbatched = found_orders(target), found_orders(target, "unbatched")
    assert "layers, rows, steps, units" in plain
    assert "layers, rows, units, steps" in unbatched
    assert not set(plain) & set(unbatched)
