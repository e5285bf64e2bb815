"""What a target is: the right variant where it is one, and none where it is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stackgru
from stackgru.cases.case import Case
from stackgru.diagnosis import search as diagnosis
from stackgru.diagnosis.designs import Design
from stackgru.diagnosis.mask_sites import places
from stackgru.diagnosis.search import CASES, DIFFERING, Diagnosis, diagnose
from stackgru.harness.masks import Draw
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from tests.subjects import catalogue as faults
from tests.subjects.broken import (
    draws,
    equations,
    masks,
    precision,
    rare_inputs,
    sequence_masks,
    states,
    variants,
)
from tests.subjects.conventions import fused
from tests.subjects.diagnoses import EXPECTED, LAST
from tests.subjects.right.sequences import StepByStep

#: Faults that come near to a variant, or seem to be one, and are none.
NEAR = [
    masks.MaskSharedOverLargeBatch,
    masks.UnitsShareAMask,
    draws.SeedsItself,
    sequence_masks.SeedsEveryStep,
    draws.MasksByRand,
    states.OldStateGoesUp,
    equations.GatesSwapped,
    equations.BiasOutsideTheResetAbove,
]


#: A diagnosis takes seconds; nightly diagnoses every fault.
NAMED = [fault for number, fault in enumerate(EXPECTED) if number % 2]


@pytest.mark.parametrize("fault", NAMED, ids=lambda one: one.__name__)
def test_a_variant_is_named(fault):
    found = diagnose(load(fault))
    assert found.variants == EXPECTED[fault]
    assert found.cases >= CASES
    assert found.differing >= DIFFERING


@pytest.mark.parametrize("fault", NEAR, ids=lambda one: one.__name__)
def test_what_is_no_variant_is_not_named(fault):
    assert diagnose(load(fault)) == Diagnosis()


@pytest.mark.parametrize("right", [stackgru.StackingGRUCell, nn.GRU, StepByStep])
def test_what_is_right_is_not_named(right):
    assert diagnose(load(right)).variants == ()


def test_the_order_of_masks_is_named_where_it_counts():
    assert diagnose(load(StepByStep), order_counts=True).variants == ("masks in time order",)


def test_only_the_dtypes_that_are_asked_for_are_drawn():
    wrong_in_float64 = load(precision.SinglePrecisionInside)
    assert diagnose(wrong_in_float64, dtypes=("float64",)).variants == ()
    reset = load(equations.ResetBeforeTheProduct)
    assert (
        diagnose(reset, dtypes=("float32",)).variants == EXPECTED[equations.ResetBeforeTheProduct]
    )
    assert diagnose(reset, dtypes=("bfloat16",)).variants == ()


def test_every_variant_of_the_catalogue_is_in_it():
    catalogue = {*faults.CELLS, *faults.SEQUENCES}
    assert set(EXPECTED) <= catalogue
    own = {one for one in vars(variants).values() if isinstance(one, type)}
    assert {one for one in own if one.__module__ == variants.__name__} <= set(EXPECTED)


def test_the_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    diagnose.__wrapped__(load(masks.DropsTheOutputOnly))
    assert torch.equal(torch.get_rng_state(), before)


def test_check_says_what_it_is():
    report = stackgru.check(masks.DropsTheOutputOnly, laws=["one-step"], seed=1)
    assert report.diagnosis["variants"] == [LAST]
    assert f"agrees with nn.GRU with: {LAST} (200 of 200 cases)" in report.diagnosis["sentence"]
    assert report.to_dict()["diagnosis"] == report.diagnosis


def test_what_holds_is_not_asked_what_it_is():
    assert stackgru.check(laws=["one-step"], max_examples=5).diagnosis is None


@pytest.mark.parametrize(
    ("kind", "variants"),
    [(fused.UpdateFirstForgotten, ("gates in the order z, r, n",)), (fused.ThreeBiasesTwice, ())],
)
def test_weights_of_another_form_are_known_to_it(kind, variants):
    assert diagnose(load(Convention(kind, weights=fused.read))).variants == variants


def test_where_nothing_drops_a_draw_has_no_place():
    case, draw = Case(), Draw(torch.ones(1, 1), 0.5)
    assert list(places(Design(), case, "cell", [])) == [{}]
    assert list(places(Design(), case, "cell", [draw])) == []


def test_what_fails_for_some_sizes_is_no_variant():
    assert diagnose(load(rare_inputs.DeepAndWideFails)).variants == ()


def test_a_variant_that_fails_where_it_is_deep_is_none():
    class FailsWhereDeep(masks.DropsTheOutputOnly):
        """Raises where it has four layers."""

        def forward(self, input, h0=None):
            if self.num_layers == 4:
                raise ValueError("no")
            return super().forward(input, h0)

    assert diagnose(load(FailsWhereDeep)).variants == ()


def test_what_differs_too_seldom_is_not_told(monkeypatch):
    monkeypatch.setattr(diagnosis, "_MOST_CASES", diagnosis.CASES - 1)
    assert diagnose.__wrapped__(load(masks.DropsTheOutputOnly)).variants == ()


def test_a_mask_that_is_kept_beside_one_that_is_not():
    class InputToo(masks.MaskKeptOverTime):
        """The input is dropped out as well, by a new mask at each step."""

        def forward(self, input, h0=None):
            return super().forward(self.dropout(input), h0)

    found = set(diagnose(load(InputToo)).variants)
    kept = "a mask kept over time (variational), though one is drawn for every step"
    assert found == {"dropout also on the input", kept}
