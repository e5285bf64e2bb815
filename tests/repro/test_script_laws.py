"""Scripts that accuse nobody: for a right module, the two sides of every candidate agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from stackgru.cases.case import Case
from stackgru.engine.select import domain
from stackgru.gru.cell import StackingGRUCell
from stackgru.laws.helpers.autograd import Tape
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import NotApplicable
from stackgru.repro import scripts
from stackgru.repro.scripts import NoScript, gradients, plain, run_in_process, script_for
from stackgru.repro.scripts.candidates import common_candidates, own_candidates
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.repro.scripts.of_law import of_law
from stackgru.repro.scripts.tapes import own_text, second_derivatives_of
from stackgru.repro.scripts.text import script_text
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from stackgru.targets.weights import DirectWeights
from tests.subjects.broken.gradients import StatesDetached
from tests.subjects.broken.precision import Gain
from tests.subjects.conventions import called_otherwise, fused
from tests.subjects.right.variants import Stack

RIGHT = {
    "cell": replace(load(StackingGRUCell), name="stackgru:StackingGRUCell"),
    "sequence": replace(load(torch.nn.GRU), name="torch.nn:GRU"),
}
#: A life with everything in it.
ACTIONS = "step,optimise,pickle,to,optimise,deepcopy,state_dict,train,step,eval,step"


#: Laws whose cases, together, cover nearly all that other laws are tried on.
WIDE = [
    "hn-is-last",
    "everything-matters",
    pytest.param("magnitudes", marks=pytest.mark.nightly),
    pytest.param("empty-batch", marks=pytest.mark.nightly),
]


def count_agreeing(name, kind, candidates):
    """Assert that none of these scripts of a law accuses a right module; count them."""
    law, target = all_laws()[name], RIGHT[kind]
    try:
        possible = domain(law, target, Options(strict=True))
    except NotApplicable as reason:
        pytest.skip(str(reason))
    count = 0

    @settings(max_examples=2)
    @given(possible)
    def all_agree(case):
        nonlocal count
        if law.stateful:
            case = replace(case, actions=ACTIONS)
        context = ScriptContext(target, law, case, "nothing", strict=True, is_control=True)
        for candidate in candidates(context):
            text = script_text(context, candidate)
            count += 1
            assert run_in_process(text) != 1, text

    all_agree()
    return count


@pytest.mark.nightly
@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", all_laws())
def test_no_script_of_a_law_accuses_a_right_module(name, kind):
    count = count_agreeing(name, kind, own_candidates)
    # Most candidates need a difference, and a right module shows none; these laws' do not.
    assert count or name not in ("life", "layouts", "bidirectional")


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", WIDE)
def test_no_script_of_any_law_accuses_a_right_module(name, kind, monkeypatch):
    monkeypatch.setattr(plain, "OFTEN", 3)
    assert count_agreeing(name, kind, common_candidates)


class UpperTooLarge(Stack):
    """The upper layers' states are too large."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state if cell is self.cells[0] else state * 1.5


@pytest.mark.parametrize(
    ("rate", "line"),
    [(0.5, "masks = [nn.functional.dropout(ones, 0.5)"), (1.0, "zeros_like(hn[0])")],
)
def test_in_half_precision_one_layer_is_compared_with_its_mask(rate, line):
    case = Case(4, 4, 2, 2, 1, rate, "bfloat16", "train", seed=1)
    context = ScriptContext(
        load(UpperTooLarge), all_laws()["one-step"], case, "an upper state is wrong"
    )
    (candidate,) = plain.local(context)
    text = script_text(context, candidate)
    assert line in text
    assert run_in_process(text) == 1
    assert run_in_process(text.replace("UpperTooLarge", "Stack")) == 0


def test_numbers_that_are_not_finite_are_put_in_as_the_law_does():
    law, target = all_laws()["not-finite"], RIGHT["cell"]
    texts = []
    places = ("nan:input:2:1:0", "-inf:input:0:0:1", "nan:h0:0:1:2", "nan:bias_ih_l1:0")
    for place in (*places, "inf:h0:1:0:1"):  # from an infinite state, one step
        case = Case(2, 3, 2, 2, 3, not_finite=place)
        context = ScriptContext(target, law, case, "nothing", is_control=True)
        texts += [script_text(context, candidate) for candidate in of_law(context)]
    assert [run_in_process(text) for text in texts] == [0] * 5
    assert "x = x[:1]" in texts[-1]
    for text, number in zip(texts, ("nan", "-inf", "nan", "nan", "inf"), strict=True):
        assert f'float("{number.lstrip("-")}")' in text


def test_threads_are_set_before_they_are_read():
    """Whatever number another process starts with."""
    target = load("tests.subjects.broken.conduct:SetsThreads")
    script = script_for(target, all_laws()["purity"], Case(), "it sets the number of threads")
    assert script.problem is None
    assert "\ntorch.set_num_threads(1)\ntarget = Called(target)\n" in script.text


def test_constants_of_a_convention_are_written_out():
    target = load(Convention(Gain, constants={"bias": False}))
    script = script_for(target, all_laws()["equation"], Case(), "too large")
    assert "Gain(input_size=1, hidden_size=1, num_layers=1, dropout=0.0, bias=False)" in script.text
    assert script.problem is None


def test_gradients_over_steps_that_drop_are_of_nn_gru_step_by_step():
    case = Case(2, 2, 2, 1, 2, dropout=0.5, mode="train")
    script = script_for(load(StatesDetached), all_laws()["gradients"], case, "no gradient")
    assert "output, hn = reference(step[None], hn)" in script.text
    assert script.problem is None


def agreeing(name, case, target):
    """Return how many scripts of a law there are, of which none accuses a right module."""
    context = ScriptContext(target, all_laws()[name], case, "nothing", strict=True, is_control=True)
    texts = [script_text(context, candidate) for candidate in own_candidates(context)]
    assert 1 not in [run_in_process(text) for text in texts]
    return len(texts)


def test_steps_of_an_optimiser_are_compared_where_nothing_is_dropped():
    drops = Case(2, 2, 2, 1, 2, dropout=0.5, mode="train")
    assert agreeing("training", drops, RIGHT["cell"]) + 1 == agreeing(
        "training", replace(drops, mode="eval"), RIGHT["cell"]
    )


def test_forward_mode_by_the_weights_needs_a_target_called_like_nn_gru():
    pytest.importorskip("torch.func")
    law, counts = all_laws()["forward-mode"], []
    adapted = load(Convention(called_otherwise.StateOnly, returns="state"))
    for target in (RIGHT["cell"], adapted):
        context = ScriptContext(target, law, Case(2, 2), "nothing")
        counts.append(len(list(gradients._forward_mode(context))))
    assert counts == [2, 1]


def test_no_second_derivatives_are_zeros():
    leaf = torch.ones(2, requires_grad=True)
    tape = Tape({"input": leaf}, DirectWeights([]), 2 * leaf, 3 * leaf)
    (found,) = second_derivatives_of(tape, (1.0, 1.0)).values()
    assert torch.equal(found, torch.zeros(2))


def test_what_nobody_can_import_has_no_script():
    lost = type("Lost", (Stack,), {"__module__": "no.such.module"})
    with pytest.raises(NoScript, match="cannot be imported from another file"):
        script_for(load(lost), all_laws()["equation"], Case(), "nothing")


def test_a_weight_that_is_no_parameter_has_no_name():
    target = load(Convention(fused.ThreeBiases, weights=fused.read))
    context = ScriptContext(target, all_laws()["gradients"], Case(), "no gradient")
    candidate = Candidate((f"observed = {own_text('bias_ih of layer 0')}",))
    with pytest.raises(NoScript, match="are not parameters of its own"):
        script_text(context, candidate)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("observed, expected = 1, 2",), "a right implementation in its place differs as well"),
        (("observed, expected = 1, 1",), "it does not show the violation"),
    ],
)
def test_a_script_that_does_not_single_out_the_fault_is_labelled(lines, problem, monkeypatch):
    monkeypatch.setattr(scripts, "candidates", lambda _: [Candidate(lines, allowed=None)])
    assert script_for(load(Gain), all_laws()["equation"], Case(), "nothing").problem == problem


def test_a_law_without_candidates_has_no_script(monkeypatch):
    monkeypatch.setattr(scripts, "candidates", lambda _: [])
    with pytest.raises(NoScript, match="the law equation has no script for this case"):
        script_for(load(Gain), all_laws()["equation"], Case(), "nothing")
