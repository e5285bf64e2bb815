"""Where a target first differs: step, layer and gate, with both numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

import stackgru
from stackgru.cases.case import Case
from stackgru.diagnosis.first_error import find_first_error
from stackgru.targets.target import load
from tests.subjects.broken import equations, forms, masks, precision, rates, states, variants
from tests.subjects.right.cells import RIGHT_CELLS

SIZES = {"input_size": 3, "hidden_size": 4, "num_layers": 3, "batch": 2, "seq_len": 2}
EVAL = Case(**SIZES, seed=3)
TRAIN = Case(**SIZES, dropout=0.5, mode="train", seed=3)


@pytest.mark.parametrize(
    ("fault", "gate"),
    [
        (equations.ResetBeforeTheProduct, "the reset gate r"),
        (equations.BiasOutsideTheReset, "the reset gate r"),
        (variants.ResetBeforeOverTime, "the reset gate r"),
        (equations.UpdateGateComplemented, "the update gate z"),
        (equations.GatesSwapped, "the update gate z"),
        (equations.HardGates, "the update gate z"),
        (equations.ReluCandidate, "the new gate n"),
        (precision.Gain, None),
        (states.StatesInReverse, None),
    ],
)
def test_the_gate_is_named(fault, gate):
    found = find_first_error(load(fault), EVAL)
    assert found.place == "step 0, layer 0, row 0, unit 0"
    assert abs(found.got - found.expected) > found.allowed
    assert (found.gate is None) == (gate is None)
    assert gate is None or found.gate.startswith(f"{gate}: ")


@pytest.mark.parametrize(
    ("fault", "case", "place"),
    [
        (equations.BiasOutsideTheResetAbove, EVAL, "step 0, layer 1, row 0, unit 0"),
        (states.OldStateGoesUp, EVAL, "step 0, layer 1, row 0, unit 0"),
        (states.ResidualFromTheThirdLayer, EVAL, "step 0, output, row 0, unit 0"),
        (rates.KeptValuesAreNotScaled, TRAIN, "step 0, layer 1, row 0, unit 0"),
    ],
)
def test_the_layer_is_found(fault, case, place):
    assert find_first_error(load(fault), case).place == place


def test_a_fault_of_masks_has_no_gate():
    assert find_first_error(load(rates.KeptValuesAreNotScaled), TRAIN).gate is None


def test_a_target_that_draws_other_masks_has_no_first_error():
    assert find_first_error(load(masks.DropsTwice), TRAIN) is None


@pytest.mark.parametrize("right", RIGHT_CELLS, ids=lambda one: one.__name__)
@pytest.mark.parametrize(
    "case", [EVAL, TRAIN, replace(EVAL, batch=0)], ids=["eval", "train", "empty"]
)
def test_what_is_right_has_no_first_error(right, case):
    assert find_first_error(load(right), case) is None


@pytest.mark.parametrize("how", [{"bidirectional": True}, {"form": "packed", "lengths": "2,1"}])
def test_states_that_are_not_seen_step_by_step_have_none(how):
    case = Case(**SIZES, dropout=0.5, mode="train", **how)
    assert find_first_error(load(forms.LongSequencesStartAnew), case) is None


def test_a_violation_shows_it():
    report = stackgru.check(equations.UpdateGateComplemented, laws=["unrolled"], seed=1)
    (finding,) = report.violations
    assert finding.first_wrong_at.startswith("step 0, layer 0, row 0, unit 0: got ")
    assert finding.gate.startswith("the update gate z: got ")
    assert report.to_dict()["laws"][0]["violation"]["gate"] == finding.gate
