"""Laws of divergence: what a violation shows, and what counts with --strict only."""

from __future__ import annotations

import pytest

from stackgru.outcomes import Violated
from tests.helpers import DROPS, EVAL, caught_but_not, check_law
from tests.subjects.broken.draws import DrawsOneMore
from tests.subjects.broken.life import UpperBiasesArePlain
from tests.subjects.right.sequences import LayerByLayer, StepByStep
from tests.subjects.right.variants import Stack


class OneCellAbove(Stack):
    """All layers but the first are one cell."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in range(2, self.num_layers):
            self.cells[layer] = self.cells[1]


test_a_violation_shows_what_was_seen = caught_but_not(
    Stack,
    ("everything-matters", UpperBiasesArePlain, EVAL, r"^layer 1 has no bias_hh$"),
    (
        "everything-matters",
        OneCellAbove,
        EVAL,
        r"^weight_ih of layer 1 and weight_ih of layer 2 are the same parameter$",
    ),
    (
        "order-matters",
        DrawsOneMore,
        DROPS,
        r"^the masks drawn are not num_layers - 1 per step in any known order$",
    ),
)


def test_a_sequence_has_to_draw_layer_by_layer_with_strict_only():
    check_law("order-matters", StepByStep, DROPS)
    check_law("order-matters", LayerByLayer, DROPS, strict=True)
    with pytest.raises(Violated, match=r"^from the same seed, the masks are not those of nn.GRU"):
        check_law("order-matters", StepByStep, DROPS, strict=True)
