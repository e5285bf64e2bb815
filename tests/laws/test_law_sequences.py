"""Violations of sequence modules: as a whole, in their draws, and in the layouts of nn.GRU."""

from __future__ import annotations

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.outcomes import NotApplicable, Violation
from tests.laws.test_law_branches import DROPS, check
from tests.subjects.broken.layouts import (
    PackedOutputForgetsItsOrder,
    PackedOutputIsPadded,
    UnbatchedStateHasRows,
)
from tests.subjects.broken.strict_only import PackedIsRefused, UnbatchedIsRefused
from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer, StepByStep

ROWS = Case(2, 3, 2, 3, 3)


class LaterStepsTooLarge(Whole):
    """In one call, every state but the first of each layer is 1e-6 too large."""

    def over_time(self, steps, state, layer, direction):
        outputs, state = super().over_time(steps, state, layer, direction)
        outputs = outputs[:1] + [output * (1 + 1e-6) for output in outputs[1:]]
        return outputs, outputs[-1]


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


VIOLATIONS = [
    (
        "layouts",
        NoBatchFirst,
        ROWS,
        r"^batch first the target raised ValueError: not batch fir",
    ),
    ("layouts", PackedOutputIsPadded, ROWS, r"output is Tensor, where nn.GRU's is packed$"),
    (
        "layouts",
        PackedOutputForgetsItsOrder,
        Case(2, 3, 2, 3, 3, seed=1),
        r"^packed and not sorted: sorted_indices of the output is not the input's, as nn.GRU's$",
    ),
    ("layouts", UnbatchedStateIsAList, ROWS, r"^unbatched: hn is list, where nn.GRU's is a tensor"),
    (
        "layouts",
        UnbatchedStateHasRows,
        ROWS,
        r"^unbatched: hn has shape \(2, 1, 3\), where nn.GRU's is \(2, 3\)$",
    ),
    ("bidirectional", NotBothWays, ROWS, r"^bidirectional the target raised ValueError: not both "),
    ("bidirectional", WayBackForgotten, Case(2, 3, 1, 3, 3, seed=1), r"^packed.*: hn is "),
]


@pytest.mark.parametrize(
    ("law", "fault", "case", "message"),
    VIOLATIONS,
    ids=[f"{law}-{fault.__name__}" for law, fault, *_ in VIOLATIONS],
)
def test_a_layout_that_is_not_nn_grus_is_a_violation(law, fault, case, message):
    with pytest.raises(Violation, match=message):
        check(law, fault, case)
    check(law, Whole, case)


@pytest.mark.parametrize(
    ("law", "fault", "reason", "violation"),
    [
        (
            "bidirectional",
            NotBuiltBothWays,
            r"^the target's constructor takes no bidirectional$",
            r"NotBuiltBothWays\(.*bidirectional=True\) raised ValueError: one way only",
        ),
        (
            "layouts",
            Flattens,
            r"^the target takes neither batch first, unbatched nor packed input$",
            r"^packed.* the target raised AttributeError: .*; nn.GRU gives a result$",
        ),
    ],
)
def test_what_a_sequence_does_not_take_is_a_violation_with_strict_only(
    law, fault, reason, violation
):
    with pytest.raises(NotApplicable, match=reason):
        check(law, fault, ROWS)
    with pytest.raises(Violation, match=violation):
        check(law, fault, ROWS, strict=True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            PackedIsRefused,
            r"^packed.* the target raised TypeError: a packed",
        ),
        (UnbatchedIsRefused, r"^unbatched the target raised ValueError: the input must have three"),
    ],
)
def test_other_layouts_are_tried_where_one_is_refused_but_with_strict(fault, message):
    check("layouts", fault, ROWS)
    with pytest.raises(Violation, match=message):
        check("layouts", fault, ROWS, strict=True)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("equation", r"^the target: the new state is "),
        ("unrolled", r"^the target: output is "),
        ("same-masks", r"^under nn.GRU's masks: output is "),
        ("chunks", r"^split after step 1: output is "),
        ("default-state", r"^without a state: output is "),
        ("magnitudes", r"^extreme numbers: output is "),
        ("gradients", r"^the gradient of .* is .* and should be "),
    ],
)
def test_a_sequence_is_looked_at_as_a_whole(law, message):
    case = Case(2, 3, 1, 2, 2)
    with pytest.raises(Violation, match=message):
        check(law, LaterStepsTooLarge, case)
    check(law, Whole, case)


def test_a_sequence_has_to_draw_layer_by_layer_with_strict_only():
    check("order-matters", StepByStep, DROPS)
    check("order-matters", LayerByLayer, DROPS, strict=True)
    with pytest.raises(Violation, match=r"^from one seed the masks are not nn.GRU's, which draws"):
        check("order-matters", StepByStep, DROPS, strict=True)
