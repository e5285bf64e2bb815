"""Laws of values: what a violation shows, and when they do not apply."""

from __future__ import annotations

import pytest

from stackgru.cases.case import Case
from stackgru.harness import reference
from stackgru.outcomes import NotApplicable, Violated
from tests.helpers import DROPS, check_law
from tests.subjects.broken.draws import MasksByRand
from tests.subjects.right.layouts import Whole
from tests.subjects.right.variants import Stack


class LaterStepsTooLarge(Whole):
    """In one call, every state but the first of each layer is 1e-6 too large."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        outputs = outputs[:1] + [output * (1 + 1e-6) for output in outputs[1:]]
        return outputs, outputs[-1]


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("equation", r"^new state: got "),
        ("unrolled", r"^output: got "),
        ("same-masks", r"^under nn.GRU's masks: output: got "),
        ("chunks", r"^output, split after step 1: got "),
        ("default-state", r"^output without a state: got "),
        ("magnitudes", r"^extreme numbers: output: got "),
        ("gradients", r"^gradient of .* with respect to .*: got .*, expected "),
    ],
)
def test_a_sequence_is_looked_at_as_a_whole(law, message):
    case = Case(2, 3, 1, 2, 2)
    with pytest.raises(Violated, match=message):
        check_law(law, LaterStepsTooLarge, case)
    check_law(law, Whole, case)


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        (
            "same-masks",
            r"draws random numbers by aten.rand_like.*, not as masks, so they cannot be replaced",
        ),
        ("order-matters", r"^the target's masks cannot be observed: it draws none by bernoulli$"),
    ],
)
def test_masks_that_cannot_be_seen_are_no_violation(law, reason):
    with pytest.raises(NotApplicable, match=reason):
        check_law(law, MasksByRand, DROPS)


def test_what_nn_gru_draws_unseen_is_no_violation(monkeypatch):
    monkeypatch.setattr(reference, "_draws_layer_by_layer", lambda dtype, device: False)
    monkeypatch.setattr(reference, "arrange", lambda draws, shape, order: None)
    with pytest.raises(NotApplicable, match=r"^the masks that nn.GRU draws cannot be seen .* 2 "):
        check_law("same-masks", Stack, DROPS)
