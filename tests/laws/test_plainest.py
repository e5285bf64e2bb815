"""Whether gradients are a target's own derivatives, right or wrong."""

from __future__ import annotations

import pytest
from torch import nn

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.plainest import differs_from_its_own_derivative
from stackgru.targets.target import load
from tests.subjects.broken.equations import UpdateGateComplemented
from tests.subjects.broken.gradients import LayersDetached, StatesDetached
from tests.subjects.broken.precision import GainInSinglePrecision, SinglePrecisionInside
from tests.subjects.right.variants import Stack

CASE = Case(2, 3, 2, batch=2, seq_len=3, dropout=0.5, dtype="float64", mode="train")


@pytest.mark.parametrize("law", ["gradients", "second-derivatives"])
@pytest.mark.parametrize(
    ("target", "differs"),
    [
        (nn.GRU, False),
        (Stack, False),
        (UpdateGateComplemented, False),
        (SinglePrecisionInside, False),
        (GainInSinglePrecision, False),
        (StatesDetached, True),
        (LayersDetached, True),
    ],
)
def test_gradients_are_compared_with_what_is_computed(target, differs, law):
    assert differs_from_its_own_derivative(Pair(load(target), CASE), law) == differs
