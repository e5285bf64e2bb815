"""Diagnoses: the right variant is named, and none if the target is no known variant."""

from __future__ import annotations

import pytest
import torch

import stackgru
from stackgru.cases.case import Case
from stackgru.diagnosis import search
from stackgru.diagnosis.designs import Design
from stackgru.diagnosis.mask_sites import masks_by_site
from stackgru.diagnosis.search import Diagnosis, diagnose
from stackgru.harness.masks import Draw
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from tests.subjects import catalogue as faults
from tests.subjects.broken import equations, masks, precision, rates, variants
from tests.subjects.conventions import fused
from tests.subjects.diagnoses import EXPECTED, LAST
from tests.subjects.further_variants import EXPECTED as FURTHER
from tests.subjects.right.sequences import StepByStep

#: A diagnosis takes seconds; the nightly tests diagnose every fault, on all cases.
NAMED = [
    rates.KeptValuesAreNotScaled,
    variants.OneCellForAll,
    variants.ComplementedAndLastDropped,
    variants.CarriesAndGivesDropped,
]

#: Faults that resemble a variant and are none.
NEAR = [masks.UnitsShareAMask, equations.BiasOutsideTheResetAbove]


@pytest.mark.parametrize("fault", NAMED, ids=lambda one: one.__name__)
def test_a_variant_is_named(fault):
    found = diagnose(load(fault))
    assert found.variants == EXPECTED[fault]
    assert found.cases >= search.CASES
    assert found.differing >= search.DIFFERING


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(one, marks=[pytest.mark.nightly] * (index % 3 > 0))
        for index, one in enumerate(FURTHER)
    ],
    ids=lambda one: one.__name__,
)
def test_a_variant_of_public_reports_is_named(variant):
    assert diagnose(load(variant)).variants == FURTHER[variant]


@pytest.mark.parametrize("fault", NEAR, ids=lambda one: one.__name__)
def test_what_is_no_variant_is_not_named(fault):
    assert diagnose(load(fault)) == Diagnosis()


def test_the_order_of_masks_is_named_only_if_it_counts():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert diagnose(load(StepByStep)).variants == ()
    assert diagnose(load(StepByStep), order_counts=True).variants == ("masks drawn in time order",)
    assert torch.equal(torch.get_rng_state(), before), "the generator is left alone"


def test_only_the_dtypes_that_are_asked_for_are_drawn():
    wrong_in_float64 = load(precision.SinglePrecisionInside)
    assert diagnose(wrong_in_float64, dtypes=("float64",)).variants == ()
    reset = load(equations.ResetBeforeTheProduct)
    assert diagnose(reset, dtypes=("float32",)).variants == EXPECTED[reset.factory]
    assert diagnose(reset, dtypes=("bfloat16",)).variants == ()


def test_every_variant_of_the_catalogue_is_in_it():
    catalogue = {*faults.CELLS, *faults.SEQUENCES}
    assert set(EXPECTED) <= catalogue
    own = {one for one in vars(variants).values() if isinstance(one, type)}
    assert {one for one in own if one.__module__ == variants.__name__} <= set(EXPECTED)


def test_check_says_what_it_is():
    report = stackgru.check(masks.DropsTheOutputOnly, laws=["one-step"], seed=1)
    assert report.diagnosis["variants"] == [LAST]
    agreed = f"agrees on {search.CASES} of {search.CASES} cases"
    assert report.diagnosis["sentence"] == f"nn.GRU with {LAST} ({agreed})"
    assert report.to_dict()["diagnosis"] == report.diagnosis


def test_what_holds_is_not_asked_what_it_is():
    assert stackgru.check(laws=["one-step"], max_examples=5).diagnosis is None


@pytest.mark.parametrize(
    ("kind", "variants"),
    [(fused.UpdateFirstForgotten, ("gates in the order z, r, n",)), (fused.ThreeBiasesTwice, ())],
)
def test_weights_of_another_form_are_known_to_it(kind, variants):
    assert diagnose(load(Convention(kind, weights=fused.read))).variants == variants


def test_two_variants_of_dropout_are_one_phrase():
    found = Diagnosis(("dropout also on the input", "dropout also after the last layer"), 200, 150)
    assert found.sentence == (
        "nn.GRU with dropout also on the input and after the last layer "
        "(agrees on 200 of 200 cases)"
    )


def test_where_nothing_drops_a_draw_has_no_place():
    case, draw = Case(), Draw(torch.ones(1, 1), 0.5)
    assert list(masks_by_site(Design(), case, "cell", [])) == [{}]
    assert list(masks_by_site(Design(), case, "cell", [draw])) == []


def test_a_variant_that_fails_where_it_is_deep_is_none():
    class FailsWhereDeep(masks.DropsTheOutputOnly):
        """Raises where it has three layers."""

        def forward(self, input, h0=None):
            if self.num_layers == 3:
                raise ValueError("no")
            return super().forward(input, h0)

    assert diagnose(load(FailsWhereDeep)).variants == ()


def test_what_differs_too_seldom_is_not_named(monkeypatch):
    monkeypatch.setattr(search, "CASES", 8)
    monkeypatch.setattr(search, "_MOST_CASES", 7)
    assert diagnose.__wrapped__(load(masks.DropsTheOutputOnly)).variants == ()


def test_a_mask_that_is_kept_beside_one_that_is_not():
    class InputToo(masks.MaskKeptOverTime):
        """The input is dropped out as well, by a new mask at each step."""

        def forward(self, input, h0=None):
            return super().forward(self.dropout(input), h0)

    found = set(diagnose(load(InputToo)).variants)
    kept = (
        "the same mask at every step (variational dropout), although a new one is drawn each time"
    )
    assert found == {"dropout also on the input", kept}


class NoKnownDropout(equations.ResetBeforeTheProduct, masks.UnitsShareAMask):
    """A known variant of nn.GRU in eval, which drops in no known way."""


def test_a_variant_in_eval_is_named_though_its_dropout_is_none():
    found = diagnose(load(NoKnownDropout))
    assert found.only_in_eval
    assert found.variants == EXPECTED[equations.ResetBeforeTheProduct]
    assert found.sentence.startswith("in eval, nn.GRU with the reset gate")
    assert found.cases >= search.CASES


def test_fewer_cases_are_enough_for_a_target_that_is_slow(monkeypatch):
    monkeypatch.setattr(search, "CASES", 100)
    monkeypatch.setattr(search, "_SLOW_SECONDS", 0.0)
    found = diagnose(load(equations.UpdateGateComplemented))
    assert len(found.variants) == 1
    assert search._SLOW_CASES == found.cases < search.CASES
    assert found.differing >= search._SLOW_DIFFERING
