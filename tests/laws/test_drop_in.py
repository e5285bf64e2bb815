"""The law of drop-in, and the answer that it decides."""

from __future__ import annotations

import pytest
from torch import nn

import stackgru
from stackgru.laws.registry import all_laws
from tests.helpers import law_run
from tests.subjects.broken import drop_in
from tests.subjects.conventions.driven import Encoder
from tests.subjects.right.layouts import DropIn, Holding
from tests.subjects.right.sequences import LayerByLayer

#: Without these laws there is no verdict.
DECIDING = [one.name for one in all_laws().values() if one.decides not in ("", "edge inputs")]
DIFFERENCES = {
    drop_in.RateBeforeBatchFirst: "built by position: ",
    drop_in.WaysBeforeTheRate: "built by position: entry ",
    drop_in.BatchFirstUnlessTold: "built with 2 arguments: results in training",
    drop_in.DropsUnlessTold: "built with 3 arguments: results in training 0: got",
    drop_in.IgnoresItsDtype: "built by name: entry 0: got 'weight_ih_l0: torch.float32 [3, 1]', ",
    drop_in.StateOfAnotherName: "called: TypeError: StateOfAnotherName.forward() got an unexpected",
    drop_in.StateByPositionOnly: "called: TypeError: ",
    drop_in.StateByNameIgnored: "called with input, hx=h0: output: got",
    drop_in.BiasesFirst: "state_dict: entry 0: got 'bias_hh_l0: ",
    drop_in.Prefixed: "state_dict: entry 0: got 'gru.weight_ih_l0: ",
    drop_in.StartsOrthogonal: "fresh weights: weight_hh_l0: got ",
    drop_in.NoAttributeBatchFirst: "attributes: AttributeError: ",
    drop_in.RateIsAModule: "attributes: dropout: got 'Dropout', expected 0.0",
    drop_in.CannotBePrinted: "printed: AttributeError: ",
    drop_in.RateOfItsBeginning: "a rate that is set later: results 0: got ",
}


@pytest.mark.parametrize("target", [nn.GRU, DropIn, stackgru.Convention(DropIn, batch_first=True)])
def test_a_drop_in_is_one_with_strict_too(target):
    run = law_run(target, "drop-in", strict=True)
    run.run()
    assert run.result.status == "holds"


@pytest.mark.parametrize("target", DIFFERENCES)
def test_what_differs_is_said_and_nothing_else(target):
    run = law_run(target, "drop-in", seed=1, max_examples=50)
    run.run()
    assert (run.result.status, run.result.question) == ("refused", "drop-in")
    assert run.result.reason.startswith(DIFFERENCES[target])
    assert "; " not in run.result.reason


def test_each_way_that_differs_is_said():
    run = law_run(Holding, "drop-in", seed=1)
    run.run()
    for way in ("built: TypeError: ", "called: TypeError: ", "state_dict: entry 0: got 'rnn."):
        assert way in run.result.reason


def test_what_cannot_be_seen_is_no_drop_in():
    driven = stackgru.Convention(Encoder, state="none", returns="output")
    run = law_run(driven, "drop-in", seed=1)
    run.run()
    assert run.result.reason.startswith("no h0 goes in; hn is not returned; built: ")


def test_no_drop_in_is_interchangeable_all_the_same():
    found = stackgru.check(LayerByLayer, max_examples=5, seed=1, laws=DECIDING)
    assert (found.exit_status, found.answers["drop_in"]) == (0, "no")
    assert found.sentence.endswith("drop-in: no).")
    strict = stackgru.check(LayerByLayer, max_examples=5, seed=1, strict=True, laws=["drop-in"])
    assert (strict.exit_status, strict.answers["drop_in"]) == (1, "no")
    assert strict.answers["same_values"] == "not tried"


def test_a_cell_is_not_asked():
    found = stackgru.check(stackgru.StackingGRUCell, max_examples=2, laws=["drop-in", "equation"])
    assert "drop_in" not in found.answers
    assert "drop-in " not in str(found).partition("is it nn.GRU?")[2]
