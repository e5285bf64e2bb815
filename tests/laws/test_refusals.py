"""The law of refusals: what a violation shows, and what need not be refused."""

from __future__ import annotations

import pytest
from torch import nn

import stackgru
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.refusals import refuses
from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violated
from stackgru.repro.scripts.candidates import candidates
from stackgru.repro.scripts.context import ScriptContext
from stackgru.targets.target import load
from tests.helpers import EVAL, check_law, law_run
from tests.subjects.broken.refusals import CutsTheInput, TakesHugeRates, TakesNoSteps


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (TakesHugeRates, "constructor accepts dropout"),
        (CutsTheInput, "accepts an input that is too wide"),
        (TakesNoSteps, "accepts a sequence of no steps"),
    ],
)
def test_a_violation_shows_what_was_taken(fault, message):
    with pytest.raises(Violated, match=message):
        check_law("refusals", fault, strict=True)


def test_what_gives_something_else_takes_what_it_was_given():
    """A result that its convention does not know is a result: nothing was refused."""

    class Odd(stackgru.StackingGRUCell):
        """Gives three things for an input that is too wide."""

        def forward(self, input, h0=None):
            if input.shape[-1] > self.input_size:
                return input, h0, h0
            output, hn = super().forward(input, h0)
            return hn, output

    target = load(stackgru.Convention(Odd, returns="state, output"))
    with pytest.raises(Violated, match="accepts an input that is too wide"):
        all_laws()["refusals"].check(Pair(target, Case(), strict=True))


@pytest.mark.parametrize("target", [stackgru.StackingGRUCell, nn.GRU])
def test_strict_laws_hold_for_the_bundled_cell_and_the_reference(target):
    run = law_run(target, "refusals", max_examples=25, strict=True)
    run.run()
    assert run.result.status == "holds"


class TakesAnything(nn.Module):
    """Gives back what it is given."""

    def forward(self, input, h0):
        return input, h0


def test_what_nn_gru_itself_takes_need_not_be_refused():
    pair = Pair(load(CutsTheInput), EVAL)
    with pytest.raises(Violated, match=r"^the target accepts an input that is too wide, which nn"):
        all_laws()["refusals"].check(pair)
    pair.reference = TakesAnything()
    all_laws()["refusals"].check(pair)


def test_an_option_that_a_target_does_not_take_is_not_refused():
    class WithoutRate(stackgru.StackingGRUCell):
        """Takes no dropout."""

        def __init__(self, input_size, hidden_size, num_layers):
            super().__init__(input_size, hidden_size, num_layers)

    check_law("refusals", WithoutRate, strict=True)
    context = ScriptContext(
        load(WithoutRate), all_laws()["refusals"], Case(), "nothing", strict=True
    )
    assert not any("dropout" in candidate.text for candidate in candidates(context))


def test_an_option_that_a_convention_fixes_is_not_refused():
    class Fixed(stackgru.StackingGRUCell):
        """Is built with any further argument."""

        def __init__(self, input_size, hidden_size, num_layers, dropout=0.0, **others):
            super().__init__(input_size, hidden_size, num_layers, dropout)

    check_law("refusals", stackgru.Convention(Fixed, constants={"dropout": 0.5}), strict=True)
    sizes = ("input_size", "hidden_size", "num_layers")
    check_law("refusals", stackgru.Convention(Fixed, arguments=sizes), strict=True)


def test_nn_gru_is_built_where_it_can_be():
    assert not refuses(nn.GRU, input_size=2, hidden_size=3, num_layers=2, dropout=0.5)
    assert refuses(nn.GRU, input_size=2, hidden_size=3, num_layers=2, dropout=-0.25)


def test_a_size_below_one_is_refused():
    class AtLeastOne(stackgru.StackingGRUCell):
        """Takes the nearest size that there is."""

        def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
            super().__init__(input_size, max(1, hidden_size), num_layers, dropout)

    with pytest.raises(Violated, match="constructor accepts hidden_size="):
        check_law("refusals", AtLeastOne, strict=True)
