"""Laws of transforms: what a violation shows, and what a build of torch cannot do."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given
from torch import nn

from stackgru import Convention
from stackgru.cases.case import Case
from stackgru.engine.select import domain
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.transforms import assert_possible
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import load
from tests.helpers import DROPS, EVAL, caught_but_not, check_law, law_run
from tests.subjects import is_compiling
from tests.subjects.broken.calls import HoldsItsWeights
from tests.subjects.conventions.driven import RowsFirst
from tests.subjects.right.cells import ParameterLists
from tests.subjects.right.variants import Stack

SINGLE = Case(2, 3, dtype="float32")


class NoPlainWeightsInOneLayer(Stack):
    """With one layer, weights that are no parameters are refused."""

    def cell(self, cell, x, h):
        if self.num_layers == 1 and not isinstance(cell.weight_ih, torch.nn.Parameter):
            raise TypeError("a parameter is wanted")
        return super().cell(cell, x, h)


class LooksAtOneLayersInput(Stack):
    """With one layer it looks at its input's numbers, which vmap does not allow."""

    def start(self, input, h0):
        if self.num_layers == 1 and float(input.sum()) == 0:
            input = input + 0
        return super().start(input, h0)


class TwoLayersAtMost(HoldsItsWeights):
    """Three layers are refused, and the parameters are kept past torch.func's reach."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        if num_layers > 2:
            raise ValueError("two layers at most")
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)


class DetachesItsState(Stack):
    """From the second call on, h0 is cut off."""

    is_called = False

    def start(self, input, h0):
        h0 = super().start(input, h0)
        self.is_called, before = True, self.is_called
        return h0.detach() if before else h0


class RefusesTransforms(Stack):
    """It refuses to be exported."""

    def start(self, input, h0):
        if is_compiling():
            raise RuntimeError("not to be traced")
        return super().start(input, h0)


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    (
        "functional-call",
        NoPlainWeightsInOneLayer,
        SINGLE,
        r"^the target raised TypeError: a parameter is wanted; nn.GRU gives a result$",
    ),
    (
        "functional-call",
        TwoLayersAtMost,
        Case(2, 3, 2),
        r"^results of a call with other weights 0: got .*, expected ",
    ),
    (
        "checkpoint",
        DetachesItsState,
        SINGLE,
        r"^gradients under torch.utils.checkpoint 1: got None, expected a tensor \(1, 1, 3\)$",
    ),
    (
        "vmap",
        LooksAtOneLayersInput,
        SINGLE,
        r"^what torch.func.vmap raised: got .RuntimeError: vmap: ",
    ),
)


def test_a_parameter_that_nothing_uses_is_no_violation():
    class Spare(Stack):
        """It has one parameter more than it needs."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.spare = torch.nn.Parameter(torch.ones(2))

    check_law("checkpoint", Spare, DROPS)


def test_what_cannot_be_transformed_is_violated_with_strict_only():
    run = law_run(RefusesTransforms, "export", seed=0)
    with pytest.raises(pytest.skip.Exception, match="not applicable"):
        run.run()
    assert run.result.status == "not applicable"
    assert run.result.examples == 1
    if "no torch." in run.result.reason or "nn.GRU itself" in run.result.reason:
        pytest.skip(run.result.reason)
    assert run.result.reason.startswith("the target cannot be ")
    with pytest.raises(Violated, match="the target cannot be "):
        law_run(RefusesTransforms, "export", seed=0, strict=True).run()


@pytest.mark.parametrize("strict", [False, True])
def test_what_torchs_own_cannot_do_is_never_held_against_it(strict):
    with pytest.raises(pytest.skip.Exception, match=r"cannot be run under vmap|has no torch\.func"):
        law_run(nn.GRU, "vmap", seed=0, strict=strict).run()


def _failing(module, arguments):
    raise NotImplementedError("not on this build")


def _doubled(module, arguments):
    return lambda *given: [2 * result for result in module(*given)]


@pytest.mark.parametrize(
    ("transform", "reason"),
    [(_failing, "NotImplementedError: not on this build"), (_doubled, "it gives different values")],
)
def test_a_transform_that_nn_gru_does_not_survive_is_not_asked_of_a_target(transform, reason):
    with pytest.raises(NotApplicable, match=f"nn.GRU itself cannot be turned .* build: {reason}$"):
        assert_possible(Pair(load(Stack), EVAL), "turned", transform)


class HoldsWeightsBatchFirst(RowsFirst):
    """Batch first, it uses the parameters that it was built with, whatever it is called with."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.held = [*self.rnn.parameters()]

    def forward(self, x, h0=None):
        gru = self.rnn
        h0 = x.new_zeros(gru.num_layers, len(x), gru.hidden_size) if h0 is None else h0
        options = (True, gru.num_layers, gru.dropout, self.training, False, True)
        return torch._VF.gru(x, h0, self.held, *options)


@pytest.mark.parametrize(
    ("kind", "status"), [(RowsFirst, "holds"), (HoldsWeightsBatchFirst, "violated")]
)
def test_batch_first_other_weights_give_the_same_to_the_bit(kind, status):
    run = law_run(Convention(kind, batch_first=True), "functional-call", shrink=False)
    with contextlib.suppress(Violated):
        run.run()
    assert run.result.status == status


@given(domain(all_laws()["trace"], load(Stack), Options()))
def test_only_usual_numbers_are_traced_without_a_state(case):
    """A state of zeros by chance is left out as well, and a trace would keep that."""
    assert case.h0 == "given" or {case.weights, case.input, case.state} == {"usual"}


class SummedByAddmm(ParameterLists):
    """Sums are accumulated by addmm, which TorchScript takes apart and puts together otherwise."""

    def forward(self, x, h):
        new = []
        weights = zip(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, strict=True)
        for layer, (w_ih, w_hh, b_ih, b_hh) in enumerate(weights):
            if layer:
                x = nn.functional.dropout(x.contiguous(), self.rate, self.training)
            both = 2 * h.shape[-1]
            sums = torch.addmm(b_ih[:both] + b_hh[:both], x, w_ih[:both].t())
            r, z = torch.addmm(sums, h[layer], w_hh[:both].t()).sigmoid().chunk(2, -1)
            of_x = torch.mm(x, w_ih[both:].t()) + b_ih[both:]
            of_h = b_hh[both:] + torch.mm(h[layer], w_hh[both:].t())
            x = z * h[layer] + (1 - z) * torch.tanh(of_x + r * of_h)
            new.append(x)
        return x, torch.stack(new)


@pytest.mark.parametrize(
    "text",
    [
        "hidden_size=6 batch=4",
        "hidden_size=3 dtype=bfloat16",
        "hidden_size=3 num_layers=3 dropout=0.5 dtype=bfloat16 mode=train seed=1",
    ],
)
def test_a_scripted_module_may_round_otherwise(text):
    check_law("script", SummedByAddmm, Case.parse(text))
