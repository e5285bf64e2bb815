"""Laws of values: target against reference, within rounding."""

from __future__ import annotations

import torch

from stackgru.bounds.formats import FORMATS
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import expected, seeded_reference
from stackgru.laws.helpers.values import (
    HN,
    OUTPUT,
    STATES,
    assert_end_to_end,
    assert_equation,
    is_equation,
    of_itself,
    other_input,
    under_masks,
)
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated, assert_equal


@law("values", {"mode": "eval", "max_steps": 4, "min_batch": 1}, decides="values")
def equation(pair: Pair) -> None:
    """Each layer's new state is what the documented equation gives for its input and old state.

    In eval, in any dtype, within one layer's rounding, at any depth and step.
    """
    first = pair.run_reference(pair.input[:1])
    if pair.case.num_layers == 1:
        own = Run(first.outputs, first.hn, first.hn[None])
        assert_equation(pair, own, input=pair.input[:1], what="nn.GRU itself on this build")
    assert_equation(pair, pair.steps())
    if pair.kind == "sequence" and pair.case.num_layers == 1:
        whole = pair.run()  # with one layer the outputs are all the states there are
        assert_equation(pair, Run(whole.outputs, whole.hn, whole.outputs[:, None]), inside=True)


@law(
    "values",
    {"seq_len": 1, "min_batch": 1, "choices": WHOLE},
    question="seeds",
    decides="seeds",
)
def one_step(pair: Pair) -> None:
    """After one step from the same seed, output and hn are nn.GRU's, in any mode and dropout."""
    reference, masks = seeded_reference(pair)
    pair.seed()
    run = pair.run()
    if pair.full_precision or not pair.shows_states:
        assert_end_to_end(pair, run, reference, expected(pair, masks))
    if pair.shows_states:
        assert_equation(pair, Run(run.outputs, run.hn, run.hn[None]), masks)


@law(
    "values",
    {"mode": "eval", "min_batch": 1, "choices": (*WHOLE, "threads")},
    {"mode": "train", "dropout": 0.0, "min_batch": 1, "choices": WHOLE},
    {"mode": "train", "dropout": 1.0, "min_batch": 1, "choices": WHOLE},
    {"mode": "train", "num_layers": 1, "min_batch": 1, "choices": WHOLE},
    half=("cell",),
    decides="values",
)
def unrolled(pair: Pair) -> None:
    """If nothing is random, every step's output and hn are nn.GRU's, for any sequence length.

    That is in eval, at dropout rates 0 and 1, and with one layer.
    """
    reference, masks = seeded_reference(pair)
    pair.seed()
    run = pair.run()
    if pair.full_precision:
        assert_end_to_end(pair, run, reference, expected(pair, masks))
    if run.states is not None:
        assert_equation(pair, run, masks)


@law(
    "values",
    {"mode": "train", "min_batch": 1, "choices": (*WHOLE, "deterministic")},
    half=("cell",),
    decides="training",
)
def same_masks(pair: Pair) -> None:
    """In training, under nn.GRU's own masks, every output and hn are nn.GRU's."""
    reference, masks = seeded_reference(pair)
    bound = expected(pair, masks) if pair.full_precision else None

    def compare(run: Run) -> None:
        what = "under nn.GRU's masks"
        if bound is not None:
            assert_end_to_end(pair, run, reference, bound, what)
        if run.states is not None:
            assert_equation(pair, run, masks, what=what)

    under_masks(pair, masks, pair.run, compare)


@law("values", {"min_batch": 1})
def hn_is_last(pair: Pair) -> None:
    """The last output is the last layer's state in hn, bit for bit; for a cell, at every step."""
    if not pair.shows_state:
        raise NotApplicable("hn is not returned")
    pair.seed()
    reference = pair.run_reference()
    what = "nn.GRU itself: last output (compared with hn[-1])"
    assert_equal(reference.outputs[-1], reference.hn[-1], what=what, axes=HN[1:])
    pair.seed()
    run = pair.run()
    states = run.hn[None] if run.states is None else run.states
    outputs = run.outputs[-len(states) :]
    assert_equal(outputs, states[:, -1], what="output (compared with hn[-1])", axes=OUTPUT)


@law(
    "values",
    {"mode": "eval", "min_steps": 2, "min_batch": 1, "choices": (*CALLED, "split")},
    half=("cell",),
)
def chunks(pair: Pair) -> None:
    """Carrying the state across a split at any point, to a fresh copy, equals a single call."""
    if not pair.is_carried:
        raise NotApplicable(" and ".join(pair.target.unseen))
    of_itself(pair, _assert_chunks)


def _assert_chunks(pair: Pair) -> None:
    split = pair.case.split
    with pair.copied():
        first = pair.run(pair.input[:split])
    with pair.copied():
        second = pair.run(pair.input[split:], first.hn)
    whole = pair.run()
    outputs = torch.cat([first.outputs, second.outputs])
    if pair.full_precision:
        pieces = Run(outputs, second.hn)
        assert_end_to_end(pair, pieces, whole, expected(pair, None), f"split after step {split}")
    if first.states is not None and second.states is not None:
        pieces = Run(outputs, second.hn, torch.cat([first.states, second.states]))
        try:
            assert_equation(pair, pieces, what=f"split after step {split}")
        except Violated:
            if is_equation(pair):  # in one call, and not in two
                raise


@law(
    "values",
    {
        "mode": "eval",
        "min_batch": 2,
        "max_steps": 3,
        "dtypes": FULL_PRECISION,
        "choices": (*CALLED, "bidirectional", "row"),
    },
)
def rows(pair: Pair) -> None:
    """In eval, each row gives the same result alone, and with the rows in the opposite order."""
    of_itself(pair, _assert_rows)


def _assert_rows(pair: Pair) -> None:
    batch = pair.case.batch
    bound = expected(pair, None)
    whole = pair.run()
    reversed_ = pair.run(pair.input.flip(1), pair.h0.flip(1))
    back = Run(reversed_.outputs.flip(1), reversed_.hn.flip(1))
    assert_end_to_end(pair, back, whole, bound, "rows reversed")
    for row in sorted({0, batch - 1, pair.case.row}):
        one = slice(row, row + 1)
        run = pair.run(pair.input[:, one], pair.h0[:, one])
        outputs, hn = whole.outputs[:, one], whole.hn[:, one]
        what = f"row {row} alone"
        pair.within(
            run.outputs, outputs, 2 * bound.outputs.error[:, one], f"{what}: output", OUTPUT
        )
        pair.within(run.hn, hn, 2 * bound.hn.error[:, one], f"{what}: hn", HN)


@law(
    "values",
    {"mode": "eval", "min_steps": 2, "min_batch": 1, "choices": (*CALLED, "split")},
    kinds=("sequence",),
)
def causal(pair: Pair) -> None:
    """No output changes, not by a bit, when inputs after it change."""
    cut = pair.case.split
    later = torch.cat([pair.input[:cut], other_input(pair, "later input")[cut:]])
    later = pair.form.laid_out(later)  # memory laid out in another way is summed in another order
    outputs, changed = pair.run().outputs[:cut], pair.run(later).outputs[:cut]
    what = f"inputs changed from step {cut} on: output"
    assert_equal(changed, outputs, what=what, axes=OUTPUT)


@law(
    "values",
    {"mode": "eval", "max_steps": 3, "min_batch": 1, "choices": ("grad", "batch_first")},
    without_state=True,
)
def default_state(pair: Pair) -> None:
    """Called without a state, the target starts from zeros, whatever calls came before."""
    zeros = torch.zeros_like(pair.h0)
    pair.run()
    first = pair.input[:1]
    run = pair.without_state(first)
    one = Run(run.outputs, run.hn, run.hn[None])
    assert_equation(pair, one, input=first, h0=zeros, what="without a state")
    if pair.kind == "sequence" and pair.full_precision:
        bound = expected(pair, None, h0=zeros)
        reference = pair.run_reference(h0=zeros)
        whole = pair.without_state(pair.input)
        assert_end_to_end(pair, whole, reference, bound, "without a state")


@law("values", {"min_batch": 1})
def bounded(pair: Pair) -> None:
    """Whatever the weights, no state exceeds max(1, |h|) of the last one by more than rounding."""
    pair.seed()
    if pair.is_carried:
        run, first = pair.steps(), pair.h0
        states = run.states
    else:  # the outputs are the last layer's states
        run, first = pair.run(), pair.h0[-1:]
        states = run.outputs[:, None]
    assert states is not None  # noqa: S101
    before = torch.cat([first[None], states[:-1]]).double().abs().clamp(min=1)
    after = states.double().abs()
    # A convex sum of h and n, |n| <= 1, rounded at most five times by at most |h| + |n| each.
    allowed = 10 * FORMATS[pair.case.torch_dtype].unit * before
    excess = torch.where(after.isnan(), 0.0, (after - before).clamp(min=0))
    pair.within(
        excess,
        torch.zeros_like(excess),
        allowed,
        "excess of the new state over max(1, |h|)",
        STATES,
    )
