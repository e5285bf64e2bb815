"""Laws of conduct: what a violation shows, and what counts with --strict only."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import load
from tests.helpers import DROPS, EVAL, caught_but_not, check_law, law_run
from tests.subjects.broken.calls import GoesIntoEval
from tests.subjects.broken.conduct import (
    SeedsAsItIsBuilt,
    SetsDeterminism,
    SetsThreads,
    TurnsGradientsOff,
)
from tests.subjects.broken.derivatives import ChangesWhatIsSaved
from tests.subjects.broken.draws import TwiceAsManyRows
from tests.subjects.right.variants import Stack

TRAIN = Case(2, 3, 3, 2, mode="train")


class OneRowForAll(Stack):
    """All rows are the memory of the first."""

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, hn[:, :1].expand_as(hn)


class AnotherMaskByStrides(Stack):
    """One more mask is drawn where the state is not contiguous."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        if not h0.is_contiguous():
            self.dropout(h0)
        return h0


class WarnsAtEveryCall(Stack):
    """It warns, which is an error where a user's pytest has it so, as ours does."""

    def forward(self, input, h0=None):
        warnings.warn("use nn.GRU", DeprecationWarning, stacklevel=2)
        return super().forward(input, h0)


class CannotLeaveItsDevice(Stack):
    """It refuses the meta device."""

    def to(self, *arguments, **keywords):
        if "meta" in arguments:
            raise NotImplementedError("there is no other device")
        return super().to(*arguments, **keywords)


class StateOnTheCpu(Stack):
    """Wherever the input is, hn is on the CPU."""

    def forward(self, input, h0):  # a state it must have
        return super().forward(input, h0)

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, torch.zeros(hn.shape, dtype=hn.dtype)


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    (
        "purity",
        GoesIntoEval,
        TRAIN,
        r"^what a call changes: got \['the training flag of dropout'\]",
    ),
    ("purity", OneRowForAll, EVAL, r"^the target raised RuntimeError: .*memory location"),
    ("purity", ChangesWhatIsSaved, TRAIN, r"^the target raised RuntimeError: .*inplace"),
    ("purity", SeedsAsItIsBuilt, Case(), r"^building it seeds torch's generator: got True"),
    (
        "strided",
        AnotherMaskByStrides,
        replace(DROPS, state_strides="rows-first"),
        r"other numbers of masks than with contiguous tensors$",
    ),
    (
        "meta",
        CannotLeaveItsDevice,
        EVAL,
        r"^the target raised NotImpl.*: there is no other device;",
    ),
    ("meta", StateOnTheCpu, EVAL, r"^hn on the meta device: got \('cpu', .*, expected \('meta', "),
)


def test_masks_that_are_not_nn_grus_are_left_to_other_laws_by_strided():
    check_law("strided", TwiceAsManyRows, DROPS)
    with pytest.raises(Violated, match="shapes of the masks drawn: got "):
        check_law("mask-count", TwiceAsManyRows, DROPS)


def masks_follow_strides():
    """Whether dropout draws a mask in the order of its input's memory."""
    masks = []
    for ones in (torch.ones(2, 9), torch.ones(9, 2).T):
        torch.manual_seed(0)
        masks.append(torch.nn.functional.dropout(ones, 0.5))
    return not torch.equal(*masks)


class LetsStridesThrough(Stack):
    """The seed's loop: the state is taken as it lies in memory, and so are the masks drawn."""

    def cell(self, cell, x, h):
        return cell(x, h)

    def up(self, state, layer):
        return self.dropout(state) if layer < self.num_layers - 1 else state

    def forward(self, input, h0):
        hn = []
        for layer, cell in enumerate(self.cells):
            hn.append(cell(input, h0[layer]))
            input = self.up(hn[-1], layer)
        return input, torch.stack(hn)


@pytest.mark.nightly
def test_masks_that_follow_strides_are_violated_with_strict_only():
    if not masks_follow_strides():
        pytest.skip("this build draws masks in the order of their indices, not of memory")
    law_run(LetsStridesThrough, "strided", seed=0).run()
    with pytest.raises(Violated, match="the masks differ from those drawn"):
        law_run(LetsStridesThrough, "strided", seed=0, strict=True).run()


@pytest.mark.parametrize("fault", [TurnsGradientsOff, SetsThreads, SetsDeterminism])
def test_settings_are_put_back_after_a_fault(fault):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(Violated):
        law_run(fault, "purity", seed=0).run()
    assert torch.is_grad_enabled()
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


class Infers(Stack):
    """Inference mode is turned on for everybody in eval, and gradients are left as they were."""

    modes = ()

    def start(self, input, h0):
        if not self.training and not torch.is_inference_mode_enabled():
            before = torch.is_grad_enabled()
            Infers.modes = (*Infers.modes, torch.inference_mode())
            Infers.modes[-1].__enter__()
            torch.set_grad_enabled(before)
        return super().start(input, h0)


def test_inference_mode_left_on_is_a_violation_and_turned_off_again():
    with pytest.raises(Violated, match=r"^inference mode after a call: got True, expected False"):
        law_run(Infers, "purity", seed=0).run()
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_build_where_nn_gru_does_not_run_on_meta_is_no_violation(monkeypatch):
    class OffMeta(Stack):
        def start(self, input, h0):
            if input.is_meta:
                forward()
            return super().start(input, h0)

    def forward(*arguments):
        raise NotImplementedError("no kernel")

    pair = Pair(load(OffMeta), EVAL)
    all_laws()["meta"].check(pair)
    assert pair.refused == (
        "the target raised NotImplementedError: no kernel; nn.GRU gives a result"
    )
    pair.reference.forward = forward
    with pytest.raises(NotApplicable, match=r"^nn.GRU itself raised NotImpl.*kernel"):
        all_laws()["meta"].check(pair)


@pytest.mark.parametrize("law", ["in-threads", "checkpoint", "calls-under-autocast"])
def test_a_right_module_may_warn(law):
    """In other threads, and in a recomputation by the backward pass, too."""
    check_law(law, WarnsAtEveryCall, replace(EVAL, dtype="float32", autocast="bfloat16"))
