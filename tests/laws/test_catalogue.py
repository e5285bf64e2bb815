"""The catalogue of faults and right variants is in order."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch

from tests.subjects.catalogue import CELLS, REFUSALS, SEQUENCES
from tests.subjects.right.cells import RIGHT_CELLS
from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import RIGHT_SEQUENCES

FAULTS = (*CELLS, *SEQUENCES, *REFUSALS)

# Bias comes before dropout in their signatures.
_BY_NAME = (Whole, torch.nn.GRU)


def test_every_fault_has_its_own_name():
    assert len({one.__name__ for one in FAULTS}) == len(FAULTS)


def test_every_fault_is_described_in_one_sentence():
    for fault in FAULTS:
        assert re.fullmatch(r"(?!.*\. ).+\.", fault.__doc__ or ""), fault


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("variant", [*RIGHT_CELLS, *RIGHT_SEQUENCES], ids=lambda one: one.__name__)
def test_a_right_variant_can_be_copied_and_differentiated_twice(variant, rows):
    original = variant(5, 4, 3, 0.5) if variant not in _BY_NAME else variant(5, 4, 3, dropout=0.5)
    module = pickle.loads(pickle.dumps(copy.deepcopy(original))).double()
    steps = (6,) if variant in RIGHT_SEQUENCES else ()
    leaves = [
        torch.randn(*steps, rows, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(3, rows, 4, dtype=torch.float64, requires_grad=True),
        *module.parameters(),
    ]
    output, hn = module(*leaves[:2])
    first = torch.autograd.grad(output.sum() + hn.sum(), leaves, create_graph=True)
    torch.autograd.grad(sum(one.square().sum() for one in first), leaves, allow_unused=True)


@pytest.mark.parametrize("variant", RIGHT_CELLS, ids=lambda one: one.__name__)
def test_masks_do_not_depend_on_the_strides_of_a_state(variant):
    module = variant(5, 4, 3, 0.5)
    input, h0 = torch.randn(7, 5), torch.randn(3, 7, 4)
    torch.manual_seed(0)
    expected, _ = module(input, h0)
    torch.manual_seed(0)
    output, _ = module(input.t().contiguous().t(), h0.mT.contiguous().mT)
    assert torch.allclose(output, expected, atol=1e-5)
