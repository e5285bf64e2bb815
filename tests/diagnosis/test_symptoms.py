"""Symptoms: laws that see one fault have one, and those of another fault another."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from stackgru.cases.case import Case
from stackgru.diagnosis.explained import Variants, violation_in
from stackgru.diagnosis.symptoms import symptom_of
from stackgru.outcomes import OF_DROPOUT, OF_VARIANTS, Violated
from stackgru.targets.target import load
from tests.helpers import law_run
from tests.subjects.broken.calls import BackwardInForward, FreezesItself, HoldsItsWeights
from tests.subjects.broken.conduct import (
    ModeOfTheFirstCall,
    ResultIsTheArgument,
    SetsThreads,
    WeightsDecay,
    WritesToItsInputInTraining,
)
from tests.subjects.broken.derivatives import ChangesWhatIsSaved, NanSlopeAtZero
from tests.subjects.broken.draws import DrawsInEval, StartsFromNoise
from tests.subjects.broken.equations import (
    GatesClipped,
    ReluCandidate,
    SoftsignGates,
    UpdateGateComplemented,
)
from tests.subjects.broken.gradients import (
    LayersDetached,
    NewLeaves,
    OldStateDetached,
    StatesDetached,
    StraightThroughDropout,
)
from tests.subjects.broken.life import (
    OptimiserSeesTheFirstLayer,
    PicklesForgetUpperWeights,
    WeightsOfItsConstruction,
)
from tests.subjects.broken.masks import DropsTheOutputOnly
from tests.subjects.broken.parameters import BiasesThoughUnwanted, LastBiasIsABuffer
from tests.subjects.broken.precision import AddsAnEpsilon
from tests.subjects.broken.rare_inputs import OneInputLosesItsSign, ZeroStateSkipsTheBias
from tests.subjects.broken.rates import DropsInEval
from tests.subjects.broken.results import OutputRetainsItsGradient
from tests.subjects.broken.sequence_life import FlatteningReplacesParameters
from tests.subjects.broken.sequence_results import OutputTakesTheInputsMemory
from tests.subjects.broken.sequence_states import StateGivenOnlyIfTaken
from tests.subjects.broken.sequences import OneStepStaysPut, RowsSortedAndLeftSo
from tests.subjects.broken.states import (
    GoesOnFromItsLastState,
    OneCellForUpperLayers,
    SharesTheFirstState,
    TakesTheLastStateItGave,
)
from tests.subjects.broken.variants import (
    GatesUpdateFirst,
    MaskDrawnOnce,
    NoStateBiasInTheCandidate,
    OneCellForAll,
)
from tests.subjects.right.variants import Stack

TRAIN = {"mode": "train"}
#: Whether it is torch 1.13.
IS_OLD = not hasattr(torch, "func")


class RaisesForThree(Stack):
    """It refuses a third layer."""

    def start(self, input, h0):
        if self.num_layers > 2:
            raise ValueError(f"{self.num_layers} layers")
        return super().start(input, h0)


class FirstStateDetached(nn.GRU):
    """No gradient goes back to an earlier call."""

    def forward(self, input, hx=None):
        return super().forward(input, hx if hx is None else hx.detach())


def symptom(target, law):
    """Return the symptom of a law's violation."""
    run = law_run(target, law, seed=1)
    with contextlib.suppress(Violated):
        run.run()
    return run.result.violation.symptom


@pytest.mark.parametrize(
    ("target", "laws", "expected"),
    [
        (GatesUpdateFirst, ("equation", "same-masks", "gradients"), OF_VARIANTS),
        (DropsTheOutputOnly, ("unrolled", "mask-count", "no-draws", "gradients"), OF_DROPOUT),
        (SetsThreads, ("purity",), "settings"),
        pytest.param(GatesClipped, ("everything-matters",), "values", marks=pytest.mark.nightly),
        (OldStateDetached, ("gradients",), "gradients: the state detached before every step"),
        pytest.param(
            LayersDetached,
            ("gradients",),
            "gradients: what goes up detached between layers",
            marks=pytest.mark.nightly,
        ),
        (FirstStateDetached, ("gradients", "frozen"), "gradients: h0 detached"),
        (NanSlopeAtZero, ("gradients",), "gradients"),
        (WeightsOfItsConstruction, ("equation", "parameters"), "values"),
        (GoesOnFromItsLastState, ("chunks", "repeatable", "passes", "stateless"), "calls: last"),
        (OptimiserSeesTheFirstLayer, ("nested", "training", "life"), "methods: parameters"),
        pytest.param(
            PicklesForgetUpperWeights,
            ("nested", "inherited", "life"),
            "methods: __setstate__",
            marks=pytest.mark.nightly,
        ),
        (OneCellForUpperLayers, ("everything-matters", "frozen", "parameters"), "tied"),
        (LastBiasIsABuffer, ("equation", "parameters", "everything-matters"), "plain"),
        (BiasesThoughUnwanted, ("gradients", "parameters", "life"), "extra"),
        (OneStepStaysPut, ("unrolled", "chunks", "first-step-is-not-hn"), "values"),
        (ResultIsTheArgument, ("chunks", "results", "purity", "nested"), "memory"),
        (ChangesWhatIsSaved, ("gradients", "empty-batch", "purity"), "gradients"),
        pytest.param(
            RaisesForThree,
            ("equation", "purity"),
            "raised ValueError: # layers",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_laws_that_see_one_fault_have_one_symptom(target, laws, expected):
    assert {law: symptom(target, law) for law in laws} == dict.fromkeys(laws, expected)


@pytest.mark.parametrize(
    ("factory", "law", "options", "expected"),
    [
        (FreezesItself, "gradients", {}, "calls"),
        (BackwardInForward, "passes", {}, "calls"),
        (BackwardInForward, "purity", {"grad": "on"}, "calls"),
        (WeightsDecay, "repeatable", {}, "calls"),
        (HoldsItsWeights, "replaced", {}, "lists"),
        pytest.param(
            *(WritesToItsInputInTraining, "gradients", TRAIN, "memory"),
            marks=pytest.mark.skipif(IS_OLD, reason="torch 1.13 cannot keep a tensor's version"),
        ),
        pytest.param(
            *(FlatteningReplacesParameters, "gradients", {}, "methods: flatten_parameters"),
            marks=pytest.mark.skipif(IS_OLD, reason="torch 1.13 does not flatten in a call"),
        ),
        (StartsFromNoise, "default-state", {}, "start"),
        (StateGivenOnlyIfTaken, "meta", {}, "start"),
        (NewLeaves, "results", TRAIN, "gradients"),
        (OutputTakesTheInputsMemory, "default-state", {}, "memory"),
        # Where values jump, have a kink, or are nn.GRU's in this case alone.
        (ZeroStateSkipsTheBias, "gradients", {"state": "zero"}, "values"),
        (ReluCandidate, "forward-mode", {"weights": "zero", "bias": False}, "values"),
        (SoftsignGates, "second-derivatives", {"weights": "tiny"}, "values"),
        (RowsSortedAndLeftSo, "training", {"batch": 2, "input": "tiny"}, "values"),
        (OneInputLosesItsSign, "life", {"actions": "step"}, "values"),
        # What is drawn in eval, with and without an effect on values.
        (DropsInEval, "forward-mode", {"num_layers": 2, "dropout": 0.5}, "values"),
        (DropsInEval, "forward-mode", {"num_layers": 2, "dropout": 2**-24}, "values"),
        (type("_", (DrawsInEval, UpdateGateComplemented), {}), "no-draws", {}, "draws in eval"),
        (type("_", (StatesDetached, ZeroStateSkipsTheBias), {}), "gradients", {}, "gradients"),
        (type("_", (OutputRetainsItsGradient, AddsAnEpsilon), {}), "results", TRAIN, "memory"),
        (
            *(type("_", (NanSlopeAtZero, UpdateGateComplemented), {}), "gradients"),
            *({"state": "zero", "input": "zero", "bias": False}, "gradients"),
        ),
    ],
)
def test_a_case_has_the_symptom_of_what_is_wrong(factory, law, options, expected):
    target = load(factory)
    case = Case(**{"input_size": 1, "hidden_size": 1, "dtype": "float64", **options})
    found = violation_in(target, law, case)
    assert symptom_of(target, found, lambda: Variants(target, [])) == expected


@pytest.mark.skipif(IS_OLD, reason="the law does not apply with torch 1.13's autocast")
def test_what_needs_autocast_is_explained_under_it():
    target = load(MaskDrawnOnce)
    explained = Variants(target, ["the same mask at every step (variational dropout)"])
    case = Case(num_layers=2, seq_len=2, dropout=0.5, mode="train", autocast="bfloat16")
    assert explained.explaining("calls-under-autocast", case) == OF_DROPOUT


class BothAtOnce(UpdateGateComplemented, StatesDetached):
    """A variant of nn.GRU, whose states have no gradients besides."""


def test_a_variant_does_not_hide_what_else_is_wrong():
    assert symptom(BothAtOnce, "equation") == OF_VARIANTS
    assert symptom(BothAtOnce, "gradients") == "gradients"
    assert symptom(UpdateGateComplemented, "gradients") == OF_VARIANTS
    assert symptom(StatesDetached, "gradients") == "gradients"


class WrongBesides(UpdateGateComplemented, GoesOnFromItsLastState):
    """A variant of nn.GRU that remembers."""


class UnexplainedBesides(WeightsOfItsConstruction, LayersDetached):
    """Its values are nobody's, and no gradient goes down from one layer to the next."""


def test_what_is_wrong_with_values_does_not_hide_what_calls_leave():
    assert symptom(WrongBesides, "equation") == OF_VARIANTS
    assert symptom(WrongBesides, "stateless") == "calls: last"


@pytest.mark.nightly
def test_what_is_wrong_with_values_does_not_hide_gradients_of_its_own():
    assert symptom(UnexplainedBesides, "equation") == "values"
    assert symptom(UnexplainedBesides, "gradients") == "gradients"
    assert symptom(WeightsOfItsConstruction, "gradients") == "values"


class ModeKept(ModeOfTheFirstCall, NoStateBiasInTheCandidate):
    """A variant of nn.GRU, and the mode of the first call holds for all."""


class GivesItsOwnState(StraightThroughDropout, TakesTheLastStateItGave):
    """Gradients are wrong, and a call goes by what another gave."""


@pytest.mark.nightly
def test_a_variant_does_not_hide_what_calls_leave():
    assert symptom(ModeKept, "mode-matters") == "calls: mode"


@pytest.mark.nightly
def test_what_calls_leave_does_not_hide_gradients():
    assert symptom(GivesItsOwnState, "gradients") == "gradients"
    assert symptom(GivesItsOwnState, "repeatable") == "calls: last"


def test_a_statistic_of_a_variants_numbers_is_explained_by_it():
    assert symptom(SharesTheFirstState, "unbiased") == OF_VARIANTS


class RaisesWhereWidthsDiffer(GatesUpdateFirst):
    """Gates in another order, and it raises where the input is not as wide as the states."""

    def forward(self, input, h0=None):
        if input.shape[-1] != self.hidden_size:
            raise RuntimeError("the input must be as wide as the states")
        return super().forward(input, h0)


@pytest.mark.parametrize(
    ("factory", "variant", "is_explained"),
    [
        (OneCellForAll, "one cell shared by all layers", True),
        (RaisesWhereWidthsDiffer, "gates in the order z, r, n", False),
    ],
)
def test_what_is_raised_for_want_of_equal_widths_is_the_variants(factory, variant, is_explained):
    target = load(factory)
    case = Case(input_size=2, hidden_size=3, num_layers=3, batch=2)
    found = violation_in(target, "rows", case)
    assert " raised RuntimeError: " in found.message
    symptom = symptom_of(target, found, lambda: Variants(target, [variant]))
    assert (symptom == OF_VARIANTS) == is_explained
