"""The law of life: its actions replay from a case's text, and what cannot be done is said."""

from __future__ import annotations

import pytest

from stackgru.cases.case import ACTIONS, Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violation
from stackgru.targets.target import load
from tests.helpers import law_run
from tests.subjects.broken.life import CannotBeCopied, CopiesForgetTheRate, KeepsWeightsByVersion
from tests.subjects.right.variants import Stack


def test_a_life_is_read_back_from_its_text_and_lived_again():
    run = law_run(CopiesForgetTheRate, "life", seed=0)
    with pytest.raises(Violation):
        run.run()
    case = Case.parse(run.result.violation.case)
    actions = case.actions.split(",")
    assert set(actions) <= {"deepcopy", "pickle", "step", "train", "optimise"}
    assert len(actions) <= 4, "it was not shrunk"
    with pytest.raises(Violation) as again:
        all_laws()["life"].check(Pair(load(CopiesForgetTheRate), case))
    assert again.value.message == run.result.violation.message


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_action_can_be_taken_twice(mode, dtype):
    case = Case(2, 3, 3, 2, dropout=0.5, dtype=dtype, mode=mode, actions=",".join(ACTIONS * 2))
    all_laws()["life"].check(Pair(load(Stack), case))


def test_what_cannot_be_pickled_is_said_and_no_violation():
    class Inside(Stack):
        """Pickle finds no class that stands in a function."""

    run = law_run(Inside, "life", seed=0)
    run.run()
    assert run.result.status == "holds"
    assert run.result.reason.startswith("without pickle: ")
    with pytest.raises(Violation, match="pickle raised"):
        law_run(Inside, "life", seed=0, strict=True).run()


def test_what_cannot_be_copied_is_a_violation():
    with pytest.raises(Violation, match=r"(deepcopy|pickle) raised .*nn.GRU survives it"):
        law_run(CannotBeCopied, "life", seed=0).run()


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="actions must be among step, train"):
        Case.parse("actions=step,die")


def test_a_gradient_of_another_dtype_is_a_violation():
    case = Case(mode="train", actions="step,to,optimise")
    with pytest.raises(Violation, match=r"is torch.float32, its gradient torch.float64"):
        all_laws()["life"].check(Pair(load(KeepsWeightsByVersion), case))
