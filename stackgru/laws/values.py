"""Laws of values: target against reference, within rounding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stackgru.bounds.formats import format_of
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.judge import Called, Seen, Within
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import expected, seeded_reference
from stackgru.laws.helpers.plain import seeded
from stackgru.laws.helpers.values import (
    STATES,
    assert_end_to_end,
    assert_equation,
    under_masks,
)
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION


@law(
    "values",
    {"mode": "eval", "max_steps": 4, "min_batch": 1, "choices": (*CALLED, "threads")},
    decides="values",
)
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
    *[{"mode": "eval", "min_batch": 1, "large": "seq_len", "choices": WHOLE}] * 4,
    {"mode": "train", "dropout": 0.0, "min_batch": 1, "choices": (*WHOLE, "threads")},
    {"mode": "train", "dropout": 1, "min_batch": 1, "choices": (*WHOLE, "threads")},
    {"mode": "train", "num_layers": 1, "min_batch": 1, "choices": (*WHOLE, "threads")},
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
    *[{"mode": "train", "min_batch": 1, "choices": (*WHOLE, "deterministic")}] * 5,
    *[
        {
            "mode": "train",
            "partial": True,
            "min_layers": 2,
            "min_batch": 1,
            "large": large,
            "choices": WHOLE,
        }
        for large in ("seq_len", "batch", "batch")
    ],
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


@law("values", {"min_batch": 1}, needs=lambda pair: pair.assert_shows_state(), share=0.3)
def hn_is_last(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """The last output is the last layer's state in hn, bit for bit; step by step as well."""
    output, hn = seeded(target, x, h0, seed)
    yield "last output (compared with hn[-1])", output[-1], hn[-1]
    for step in range(len(x)):
        output, h0 = target(x[step : step + 1], h0)
        yield f"output of step {step} alone (compared with hn[-1])", output[-1], h0[-1]


@law(
    "values",
    {
        "mode": "eval",
        "min_steps": 2,
        "min_batch": 1,
        "dtypes": FULL_PRECISION,
        "choices": (*CALLED, "split"),
    },
    needs=lambda pair: pair.assert_carried(),
    is_of_itself=True,
    share=0.3,
)
def chunks(
    target: Called, fresh: Called, x: Tensor, h0: Tensor, split: int, within: Within
) -> Iterator[Seen]:
    """Carrying the state across a split at any point, to another module, equals a single call."""
    first, state = fresh(x[:split], h0)
    second, hn = target(x[split:], state)
    whole = target(x, h0)
    allowed = within(x, h0)
    what = f"split after step {split}"
    yield f"output, {what}", torch.cat([first, second]), whole[0], allowed[0]
    yield f"hn, {what}", hn, whole[1], allowed[1]


@law(
    "values",
    {
        "mode": "eval",
        "min_batch": 2,
        "max_steps": 3,
        "dtypes": FULL_PRECISION,
        "choices": (*CALLED, "bidirectional", "row"),
    },
    is_of_itself=True,
)
def rows(target: Called, x: Tensor, h0: Tensor, row: int, within: Within) -> Iterator[Seen]:
    """In eval, each row gives the same result alone, and with the rows in the opposite order."""
    output, hn = target(x, h0)
    allowed = within(x, h0)
    found = target(x.flip(1), h0.flip(1))
    yield "output, rows reversed", found[0].flip(1), output, allowed[0]
    yield "hn, rows reversed", found[1].flip(1), hn, allowed[1]
    for first in sorted({0, x.shape[1] - 1, row}):
        one = slice(first, first + 1)
        found = target(x[:, one].clone(), h0[:, one].clone())
        yield f"output of row {first} alone", found[0], output[:, one], allowed[0][:, one]
        yield f"hn of row {first} alone", found[1], hn[:, one], allowed[1][:, one]


@law(
    "values",
    {"mode": "eval", "min_steps": 2, "min_batch": 1, "choices": (*CALLED, "split")},
    kinds=("sequence",),
)
def causal(target: Called, x: Tensor, h0: Tensor, split: int) -> Iterator[Seen]:
    """No output changes, not by a bit, when inputs after it change."""
    later = x.clone()
    later[split:] = 1 - later[split:]
    outputs = [target(one, h0)[0][:split] for one in (later, x)]
    yield f"output before step {split}, from which on inputs changed", *outputs


@law(
    "values",
    {"mode": "eval", "max_steps": 3, "min_batch": 1, "choices": ("grad", "batch_first")},
    without_state=True,
    share=0.5,
)
def default_state(
    target: Called, reference: Called, x: Tensor, h0: Tensor, within: Within
) -> Iterator[Seen]:
    """Called without a state, the target starts from zeros, whatever calls came before."""
    zeros = torch.zeros_like(h0)
    target(x, h0)
    for steps in (x[:1], x):
        found, right, allowed = target(steps), reference(steps, zeros), within(steps, zeros)
        yield "output without a state", found[0], right[0], allowed[0]
        yield "hn without a state", found[1], right[1], allowed[1]


@law("values", {"min_batch": 1}, share=0.5)
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
    allowed = 10 * format_of(pair.case.torch_dtype).unit * before
    excess = torch.where(after.isnan(), 0.0, (after - before).clamp(min=0))
    pair.within(
        excess,
        torch.zeros_like(excess),
        allowed,
        "excess of the new state over max(1, |h|)",
        STATES,
    )
