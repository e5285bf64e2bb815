"""The law of life: actions replay from the text of a case; failing to pickle is a remark."""

from __future__ import annotations

import pytest
import torch

from stackgru.cases.case import ACTIONS, Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violated
from stackgru.targets.target import load
from tests.helpers import check_law, law_run
from tests.subjects.broken.life import CannotBeCopied, CopiesForgetTheRate, KeepsWeightsByVersion
from tests.subjects.right.variants import Stack


class StaysInItsDtype(Stack):
    """Only the first conversion is heeded."""

    converted = False

    def to(self, *arguments, **keywords):
        if self.converted:
            return self
        self.converted = True
        return super().to(*arguments, **keywords)


class CopiesGrow(Stack):
    """A deep copy has one layer more."""

    def __deepcopy__(self, memo):
        return Stack(2, self.hidden_size, self.num_layers + 1)


class NotOfOneUnit(Stack):
    """It cannot be built with one unit."""

    def __init__(self, input_size, hidden_size, *args, **kwargs):
        if hidden_size == 1:
            raise ValueError("one unit is too few")
        super().__init__(input_size, hidden_size, *args, **kwargs)


def test_a_life_is_read_back_from_its_text_and_lived_again():
    run = law_run(CopiesForgetTheRate, "life", seed=0)
    with pytest.raises(Violated):
        run.run()
    case = Case.parse(run.result.violation.case)
    actions = case.actions.split(",")
    assert set(actions) <= {"deepcopy", "pickle", "step", "train", "optimise"}
    assert len(actions) <= 4, "it was not shrunk"
    with pytest.raises(Violated) as again:
        check_law("life", CopiesForgetTheRate, case)
    assert str(again.value) == run.result.violation.message


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_action_can_be_taken_twice(mode, dtype):
    case = Case(2, 3, 3, 2, dropout=0.5, dtype=dtype, mode=mode, actions=",".join(ACTIONS * 2))
    check_law("life", Stack, case)


def test_failing_to_pickle_is_a_remark_and_no_violation():
    class Inside(Stack):
        """Pickle finds no class that stands in a function."""

    run = law_run(Inside, "life", seed=0)
    run.run()
    assert run.result.status == "holds"
    assert run.result.reason.startswith("without pickle: ")
    with pytest.raises(Violated, match="pickle raised"):
        law_run(Inside, "life", seed=0, strict=True).run()


@pytest.mark.parametrize("action", ["pickle", "state_dict"])
def test_what_nn_gru_cannot_do_either_is_left_out(monkeypatch, action):
    """As with torch 2.5 on Python 3.13, whose pickler lets torch.save set no attribute."""

    def fail(*arguments, **options):
        raise AttributeError("read-only")

    monkeypatch.setattr(torch, "save", fail)
    monkeypatch.setattr("pickle.dumps", fail)
    pair = Pair(load(Stack), Case(actions=f"{action},step"), strict=True)
    all_laws()["life"].check(pair)
    assert pair.remark.endswith("nn.GRU itself raised AttributeError: read-only")


def test_what_cannot_be_copied_is_a_violation():
    with pytest.raises(Violated, match=r"(deepcopy|pickle) raised .*nn.GRU does not"):
        law_run(CannotBeCopied, "life", seed=0).run()


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="actions must be among step, train"):
        Case.parse("actions=step,die")


def test_a_gradient_of_another_dtype_is_a_violation():
    case = Case(mode="train", actions="step,to,optimise")
    with pytest.raises(Violated, match=r"got torch.float64, expected torch.float32"):
        check_law("life", KeepsWeightsByVersion, case)


@pytest.mark.parametrize(
    ("fault", "action", "message"),
    [
        (
            StaysInItsDtype,
            "to",
            r"^weight_ih of layer 0: got torch.float64, expected torch.float32$",
        ),
        (CopiesGrow, "deepcopy", r"^the weights of tests.*CopiesGrow were not found: looked"),
    ],
)
def test_life_shows_what_became_of_the_parameters(fault, action, message):
    with pytest.raises(Violated, match=message):
        check_law("life", fault, Case(2, 3, 3, 2, actions=action))


def test_a_life_that_cannot_begin_is_a_violation():
    with pytest.raises(Violated, match=r"NotOfOneUnit\(.*\) raised ValueError: one unit is too f"):
        law_run(NotOfOneUnit, "life", seed=0).run()


class RaisesWhenPickled(Stack):
    """Its state cannot be taken."""

    def __getstate__(self):
        raise RuntimeError("no state")


def test_an_error_of_its_own_while_it_is_pickled_is_a_violation():
    with pytest.raises(Violated, match="pickle raised RuntimeError: no state"):
        check_law("life", RaisesWhenPickled, Case(2, 3, actions="pickle"))
