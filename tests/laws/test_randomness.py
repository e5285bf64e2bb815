"""Laws of randomness: what a violation shows, and draws that are right."""

from __future__ import annotations

import random

import pytest

from stackgru.cases.case import Case
from tests.helpers import DROPS, EVAL, caught_but_not, check_law, law_run
from tests.subjects.broken.draws import MasksByRand, SeedsItself
from tests.subjects.right.variants import MasksAtOnce, Stack


class AsksPython(Stack):
    """A number of Python's is drawn in every call, and thrown away."""

    def start(self, input, h0):
        random.random()
        return super().start(input, h0)


class RateALittleOff(Stack):
    """A rate has 1e-9 added to it."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)
        self.dropout.p += 1e-9 if 0 < dropout < 0.9 else 0


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    (
        "no-draws",
        AsksPython,
        EVAL,
        r"^whether Python's generator is as it was: got False",
    ),
    ("mask-count", MasksByRand, DROPS, r"^the target draws random numbers by aten.rand_like"),
    (
        "mask-count",
        RateALittleOff,
        DROPS,
        r"^probability of keeping a value: got 0.49.*, expected 1 - p",
    ),
    (
        "mask-count",
        SeedsItself,
        Case(2, 10, 2, 10, 2, dropout=0.5, mode="train"),
        r"^two masks of different steps or layers are equal$",
    ),
)


@pytest.mark.parametrize("name", ["same-masks", "mask-count", "order-matters", "mode-matters"])
def test_masks_drawn_at_once_are_in_their_order(name):
    run = law_run(MasksAtOnce, name, max_examples=50)
    run.run()
    assert run.result.status == "holds"


def test_a_rate_rounded_once_more_is_no_violation():
    class Rounded(Stack):
        """Its rate goes through 1 - p twice."""

        def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True):
            super().__init__(input_size, hidden_size, num_layers, 1 - (1 - dropout), bias)

    check_law("mask-count", Rounded, Case(2, 3, 3, 2, 2, dropout=0.1, mode="train"))
