"""Laws of layouts: what a violation shows, and what counts with --strict only."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

import stackgru
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violated
from stackgru.targets.target import load
from tests.helpers import caught_but_not, check_law, refused
from tests.subjects.broken.layouts import (
    PackedOutputForgetsItsOrder,
    PackedOutputIsPadded,
    UnbatchedStateHasRows,
)
from tests.subjects.broken.strict_only import PackedIsRefused, UnbatchedIsRefused
from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer

ROWS = Case(2, 3, 2, 3, 3)
BATCH_FIRST = replace(ROWS, batch_first=True)
UNBATCHED = replace(ROWS, batch=1, form="unbatched")
BOTH_WAYS = replace(ROWS, bidirectional=True)
PACKED = replace(ROWS, form="packed", lengths="2,3,1")


class NoBatchFirst(Whole):
    """Batch first it raises."""

    def batched(self, input, h0):
        if self.batch_first:
            raise ValueError("not batch first")
        return super().batched(input, h0)


class NotBothWays(Whole):
    """It takes the option bidirectional, and cannot be called with it."""

    def layers(self, steps, h0):
        if len(self.directions) > 1:
            raise ValueError("not both ways")
        return super().layers(steps, h0)


class WayBackForgotten(Whole):
    """For packed rows, hn of the way back is zeros."""

    def packed(self, input, h0):
        output, hn = super().packed(input, h0)
        return output, torch.cat([hn[:1], 0 * hn[1:]]) if len(self.directions) > 1 else hn


class NotBuiltBothWays(Whole):
    """It names the option bidirectional, and refuses it."""

    def __init__(self, *args, bidirectional=False, **kwargs):
        if bidirectional:
            raise ValueError("one way only")
        super().__init__(*args, **kwargs)


class NotBuiltBatchFirst(Whole):
    """It names the option batch_first, and refuses it."""

    def __init__(self, *args, batch_first=False, **kwargs):
        if batch_first:
            raise ValueError("time first only")
        super().__init__(*args, **kwargs)


class UnbatchedStateIsAList(Whole):
    """Unbatched, hn is a list."""

    def unbatched(self, input, h0):
        output, hn = super().unbatched(input, h0)
        return output, list(hn)


class Flattens(LayerByLayer):
    """Two dimensions are taken for a batch of numbers, and there is one way only."""

    def forward(self, input, h0=None):
        if input.dim() == 2:
            return input.flatten(), h0
        return super().forward(input, h0)


test_a_violation_shows_what_was_seen = caught_but_not(
    Whole,
    (
        "layouts",
        NoBatchFirst,
        BATCH_FIRST,
        r"^the target raised ValueError: not batch fir",
    ),
    ("layouts", PackedOutputIsPadded, PACKED, r"output: got Tensor, expected PackedSequence$"),
    (
        "layouts",
        PackedOutputForgetsItsOrder,
        PACKED,
        r"^packed, not sorted: output: got .* at step 0",
    ),
    ("layouts", UnbatchedStateIsAList, UNBATCHED, r"^hn: got list, expected a tensor"),
    (
        "layouts",
        UnbatchedStateHasRows,
        UNBATCHED,
        r"^hn: got shape \(2, 1, 3\), expected \(2, 3\)$",
    ),
    (
        "bidirectional",
        NotBothWays,
        BOTH_WAYS,
        r"^the target raised ValueError: not both ",
    ),
    (
        "bidirectional",
        WayBackForgotten,
        replace(PACKED, num_layers=1, bidirectional=True),
        r"^packed.*: hn: got ",
    ),
)


@pytest.mark.parametrize(
    ("fault", "case", "message"),
    [
        (PackedIsRefused, PACKED, r"^packed.* the target raised TypeError: a packed"),
        (
            UnbatchedIsRefused,
            UNBATCHED,
            r"^unbatched: the target raised ValueError: the input must have",
        ),
        (Flattens, UNBATCHED, r"^unbatched: two dimensions mean something else to the target"),
    ],
)
def test_other_layouts_are_tried_where_one_is_refused_but_with_strict(fault, case, message):
    assert re.match(message, refused("layouts", fault, case))
    with pytest.raises(Violated, match=message):
        check_law("layouts", fault, case, strict=True)


def test_both_ways_that_are_refused_are_an_edge_input():
    message = r"NotBuiltBothWays\(.*bidirectional=True\) raised ValueError: one way only"
    assert re.search(message, refused("bidirectional", NotBuiltBothWays, BOTH_WAYS))
    with pytest.raises(Violated, match=message):
        check_law("bidirectional", NotBuiltBothWays, BOTH_WAYS, strict=True)


def test_batch_first_that_is_refused_leaves_the_values_to_be_judged():
    message = r"NotBuiltBatchFirst\(.*batch_first=True\) raised ValueError: time first only"
    assert re.search(message, refused("unrolled", NotBuiltBatchFirst, BATCH_FIRST))
    with pytest.raises(Violated, match=message):
        check_law("unrolled", NotBuiltBatchFirst, BATCH_FIRST, strict=True)


def test_a_layout_that_gives_something_else_is_not_offered():
    class Odd(Whole):
        """Gives one tensor for what has no rows."""

        def forward(self, input, h0=None):
            if getattr(input, "dim", int)() == 2:
                return input
            output, hn = super().forward(input, h0)
            return hn, output

    target = load(stackgru.Convention(Odd, returns="state, output"))
    assert target.kind == "sequence"
    with pytest.raises(Violated, match="unbatched: two dimensions mean something else"):
        all_laws()["layouts"].check(Pair(target, replace(UNBATCHED, num_layers=1), strict=True))
