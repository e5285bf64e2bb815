"""Other conventions than nn.GRU's: right stacks are accepted, faults caught, and fits suggested."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
import torch
from torch import nn

import stackgru
from stackgru import Convention, UsageError
from stackgru.cases.case import Case
from stackgru.engine.collect import collect_runs
from stackgru.harness.pair import Pair
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.adapter import ConventionAdapter, ConventionMismatch
from stackgru.targets.target import load
from tests.subjects.conventions import called_otherwise, fused
from tests.subjects.conventions import catalogue as conventions
from tests.subjects.conventions.catalogue import FAULTS, RIGHT, convention_of
from tests.subjects.right.variants import Stack

CASE = Case(2, 3, 3, 4, 2)


def by_name(kind):
    return kind.__name__


#: The laws that depend most on a convention; nightly runs all of them.
LAWS = ("equation", "one-step", "same-masks", "gradients", "stateless")


@pytest.mark.parametrize("kind", RIGHT, ids=by_name)
def test_no_law_accuses_a_right_stack(kind):
    *runs, _ = collect_runs(convention_of(kind), Options(max_examples=3, laws=LAWS))
    for run in runs:
        with contextlib.suppress(pytest.skip.Exception):
            run.run()
        assert run.result.status in ("holds", "not applicable")


@pytest.mark.usefixtures("no_symptoms")
@pytest.mark.parametrize("kind", FAULTS, ids=by_name)
def test_a_fault_is_caught(kind):
    law = FAULTS[kind][1]
    options = Options(laws=(law,), max_examples=30, seed=0)
    (run,) = [one for one in collect_runs(convention_of(kind), options) if one.law]
    with pytest.raises(Violated):
        run.run()
    assert run.result.violation.law == law


@pytest.mark.parametrize("kind", [conventions.KeepsItsState, conventions.KeepsItsFirstState])
def test_states_kept_on_the_module_need_a_wrapper(kind):
    report = stackgru.check(conventions.wrapped(kind), max_examples=4, seed=0, laws=LAWS)
    assert report.ok == (kind is conventions.KeepsItsState)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": "tupel"}, "state must be one of .* got 'tupel'; did you mean 'tuple'?"),
        ({"returns": "hn"}, "returns must be one of"),
        ({"arguments": ("input_size", "hiden_size")}, "did you mean 'hidden_size'?"),
        ({"arguments": ("num_layers",)}, "must include input_size, hidden_size or both"),
        ({"arguments": ("input_size", "hidden_size", "input_size")}, "without duplicates"),
        ({"arguments": "input_size"}, "must be a sequence of names"),
    ],
)
def test_names_that_are_none_are_usage(fields, said):
    with pytest.raises(UsageError, match=said):
        Convention(Stack, **fields)


def test_a_convention_is_told_once():
    with pytest.raises(UsageError, match="is a Convention; set state in it instead"):
        stackgru.check(Convention(Stack), state="tuple")
    with pytest.raises(UsageError, match="applies to cells only"):
        stackgru.check(Stack, time_axis=True, kind="sequence")


def test_a_violation_of_what_no_option_tells_is_rerun_from_python():
    target = load(convention_of(fused.UpdateFirst))
    assert target.cli_options is None
    assert load(convention_of(called_otherwise.InPlace)).cli_options == ("--state", "list")
    assert load("tests.subjects.conventions.catalogue:update_first").cli_options == ()


def test_what_a_target_is_built_without_is_what_its_module_has():
    numbered = load(conventions.Numbered)
    assert (numbered.layers, numbered.rate) == (3, None)
    norate = load(called_otherwise.NoRate)
    assert (norate.layers, norate.rate) == (None, 0.0)
    assert load(called_otherwise.OwnRate).rate == 0.5
    fixed = load(Convention(Stack, constants={"dropout": 0.5, "num_layers": 2}))
    assert (fixed.layers, fixed.rate) == (2, 0.5)
    assert fixed.fitted(CASE) == Case(2, 3, 2, 4, 2, dropout=0.5)


def test_a_rate_that_is_fixed_is_the_one_that_is_tried():
    fixed = Convention(Stack, constants={"dropout": 0.5})
    report = stackgru.check(
        fixed, laws=["same-masks", "mask-count", "no-draws"], max_examples=8, seed=0
    )
    assert report.ok
    assert all(result.status == "holds" for result in report.results)


class NamedOtherwise(Stack):
    def __init__(self, kind, n_in, n_hidden, n_layers, rate):
        assert kind == "gru"
        super().__init__(n_in, n_hidden, n_layers, rate)


def test_a_constant_may_stand_before_the_sizes():
    arguments = ("input_size", "hidden_size", "num_layers", "dropout")
    constants = {"kind": "gru"}
    assert load(Convention(NamedOtherwise, constants=constants)).kind == "cell"
    told = load(Convention(NamedOtherwise, arguments=arguments, constants=constants))
    assert told.accepts == {"num_layers", "dropout"}


class Gives(nn.Module):
    """Gives what it is told to."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, input, state):
        return self.result


X, H0 = torch.ones(4, 2), torch.ones(3, 4, 5)


@pytest.mark.parametrize(
    ("fields", "result", "said"),
    [
        ({"state": "tuple"}, (X, H0), "one tensor of shape (3, 4, 5) as its state; the "),
        ({"state": "tuple"}, (X, (H0, H0)), "a tuple of 2 tensors of shape (3, 4, 5) as its"),
        ({"state": "list"}, (X, [H0, X]), "a list of 2 things as its state; the"),
        ({"state": "list"}, (X, []), "a list of 0 things as its state; the convention specifies"),
        ({"state": "list"}, X, "one tensor of shape (4, 2), and left the list of states unchanged"),
        ({"state": "list", "returns": "state"}, None, "a NoneType as its state"),
        ({"state": "batch-first"}, (X, X[0]), "one tensor of shape (2,) as its state"),
        ({"state": "concatenated"}, (X, X), "convention specifies one tensor (B, L * H)"),
        ({"returns": "state, output"}, (H0,), "a tuple of one tensor of shape (3, 4, 5); the"),
        ({"time_axis": True}, (X, H0), "one tensor of shape (4, 2) as its output; the"),
    ],
)
def test_a_result_that_is_not_as_the_convention_says(fields, result, said):
    driven = ConventionAdapter(Gives(result), Convention(Gives, **fields), 3)
    with pytest.raises(ConventionMismatch) as caught:
        driven(X, H0)
    assert said in str(caught.value)


def test_a_misfit_is_a_violation():
    pair = Pair(load(convention_of(called_otherwise.ListBack)), CASE)
    pair.module.module = Gives((X, H0))
    with pytest.raises(Violated, match=r"^the target gave one tensor .* a list of L tensors"):
        pair.run()


@pytest.mark.parametrize("state", ["stacked", "batch-first", "tuple", "list", "concatenated"])
def test_a_state_goes_in_and_out(state):
    class Back(nn.Module):
        def forward(self, input, state):
            return input, state

    driven = ConventionAdapter(Back(), Convention(Back, state=state, returns="output, state"), 3)
    for h0 in (H0 * torch.arange(5), H0[:, 0], H0[:, :0], H0[:2], H0.unsqueeze(1)):
        assert torch.equal(driven(X, h0)[1], h0)


class WithoutAState(called_otherwise.SideBySide):
    def forward(self, x, state=None):
        if state is None:
            state = x.new_zeros(len(x), len(self.cells) * self.hidden_size)
        return super().forward(x, state)


def test_a_state_may_be_left_out():
    target = load(Convention(WithoutAState, state="concatenated"))
    assert target.takes_no_state
    pair = Pair(target, CASE)
    own = pair.without_state(pair.input[:1])
    assert torch.equal(own.hn, pair.steps(pair.input[:1], torch.zeros_like(pair.h0)).hn)


def test_it_is_copied_and_pickled_and_holds_the_module_alone():
    module = load(convention_of(called_otherwise.InPlace)).build(CASE)
    assert list(dict(module.named_children())) == ["module"]
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        pair = torch.ones(4, 2, dtype=torch.float64), torch.ones(3, 4, 3, dtype=torch.float64)
        assert all(map(torch.equal, module(*pair), other(*pair)))
