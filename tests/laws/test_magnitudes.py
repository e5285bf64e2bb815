"""Laws of magnitudes, dtypes and empty batches: what a violation shows."""

from __future__ import annotations

import re

import pytest

from stackgru.cases.case import Case
from stackgru.laws.helpers.values import ANOTHER_EQUATION
from stackgru.outcomes import Violated
from tests.helpers import caught_but_not, check_law, law_run, refused
from tests.subjects import autocast_dtype
from tests.subjects.broken.draws import DrawsForEmptyBatches
from tests.subjects.broken.equations import ResetBeforeTheProduct
from tests.subjects.right.variants import Stack

SINGLE = Case(2, 3, dtype="float32")


class DecaysByAHook(Stack):
    """The gradients of a weight have the weight itself added, by a hook."""

    def start(self, input, h0):
        weight = self.cells[0].weight_hh
        if weight.requires_grad and not hasattr(self, "hook"):
            self.hook = weight.register_hook(lambda grad: grad + weight.detach())
        return super().start(input, h0)


class Float64UnderAutocast(Stack):
    """Under autocast hn is float64."""

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        return output, hn.double() if autocast_dtype() else hn


class NoAutocast(Stack):
    """It refuses to run under autocast."""

    def start(self, input, h0):
        if autocast_dtype():
            raise RuntimeError("not in bfloat16")
        return super().start(input, h0)


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    (
        "empty-batch",
        DrawsForEmptyBatches,
        Case(2, 3, batch=0, mode="train"),
        r"^the next numbers of torch's generator: got ",
    ),
    (
        "empty-batch",
        DecaysByAHook,
        Case(2, 3, batch=0),
        r"^what has gradients other than zeros: got \[.*weight_hh",
    ),
    (
        "autocast",
        Float64UnderAutocast,
        SINGLE,
        r"^under autocast: hn: got torch.float64, expected torch\.",
    ),
)


def test_what_is_refused_under_autocast_is_a_violation_with_strict_only():
    message = r"^under autocast the target raised RuntimeError: not in bfloat16$"
    assert re.match(message, refused("autocast", NoAutocast, SINGLE))
    with pytest.raises(Violated, match=message):
        check_law("autocast", NoAutocast, SINGLE, strict=True)


def test_what_autocast_does_to_another_equation_is_said_to_be_unjudged():
    run = law_run(ResetBeforeTheProduct, "autocast", seed=1)
    run.run()
    assert run.result.status == "holds"
    assert run.result.reason == ANOTHER_EQUATION
