"""Laws of conduct and transforms, beyond the one fault that each has in the catalogue."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stackgru
from stackgru.outcomes import Violation
from tests.helpers import law_run
from tests.subjects.broken.conduct import SetsDeterminism, SetsThreads, TurnsGradientsOff
from tests.subjects.right.variants import Stack


class RefusesTransforms(Stack):
    """It says that it cannot be exported."""

    def start(self, input, h0):
        if torch.compiler.is_compiling():
            raise RuntimeError("not to be traced")
        return super().start(input, h0)


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


def test_masks_that_follow_strides_are_violated_with_strict_only():
    law_run(LetsStridesThrough, "strided", seed=0).run()
    with pytest.raises(Violation, match="the masks are others"):
        law_run(LetsStridesThrough, "strided", seed=0, strict=True).run()


@pytest.mark.parametrize("target", [stackgru.StackingGRUCell, nn.GRU])
def test_strict_laws_hold_for_the_bundled_cell_and_the_reference(target):
    run = law_run(target, "refusals", max_examples=25, strict=True)
    run.run()
    assert run.result.status == "holds"


def test_what_cannot_be_transformed_is_violated_with_strict_only():
    run = law_run(RefusesTransforms, "export", seed=0)
    with pytest.raises(pytest.skip.Exception, match="not applicable"):
        run.run()
    assert run.result.status == "not applicable"
    assert run.result.examples == 1
    if "no torch." in run.result.reason or "nn.GRU itself" in run.result.reason:
        pytest.skip(run.result.reason)
    assert run.result.reason.startswith("the target cannot be ")
    with pytest.raises(Violation, match="the target cannot be "):
        law_run(RefusesTransforms, "export", seed=0, strict=True).run()


@pytest.mark.parametrize("strict", [False, True])
def test_what_torchs_own_cannot_do_is_never_held_against_it(strict):
    with pytest.raises(pytest.skip.Exception, match="cannot be run under vmap"):
        law_run(nn.GRU, "vmap", seed=0, strict=strict).run()


@pytest.mark.parametrize("fault", [TurnsGradientsOff, SetsThreads, SetsDeterminism])
def test_settings_are_put_back_after_a_fault(fault):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(Violation):
        law_run(fault, "purity", seed=0).run()
    assert torch.is_grad_enabled()
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
