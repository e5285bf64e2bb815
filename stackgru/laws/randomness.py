"""Laws of randomness: what is drawn from torch's generator, when, and in which shape."""

from __future__ import annotations

import random

import torch

from stackgru.cases.case import Case
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.masks import Recorder
from stackgru.harness.orders import arranged
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.values import listed, masks_of_a_step, other_input
from stackgru.laws.registry import law
from stackgru.outcomes import NotApplicable, Violated


@law(
    "randomness",
    {"mode": "train", "seq_len": 1, "min_batch": 1, "choices": WHOLE},
    question="seeds",
)
def same_draws(pair: Pair) -> None:
    """After one step from the same seed, torch's generator is in the state that nn.GRU leaves."""
    pair.seed()
    pair.run_reference()
    after_reference = pair.generator_state()
    pair.seed()
    pair.run()
    if not torch.equal(after_reference, pair.generator_state()):
        raise Violated(
            "after one step, torch's generator is in another state than after nn.GRU's step"
        )


@law(
    "randomness",
    {"mode": "eval", "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "dropout": 0.0, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "dropout": 1.0, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "num_layers": 1, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "max_batch": 0, "max_steps": 3, "choices": WHOLE},
    question="seeds",
)
def no_draws(pair: Pair) -> None:
    """Nothing is drawn in eval, at dropout rates 0 and 1, with one layer, or for an empty batch."""
    pair.seed()
    python_before, before = random.getstate(), pair.generator_state()
    pair.run()
    if not torch.equal(before, pair.generator_state()):
        raise Violated("torch's generator changed its state, but nn.GRU draws nothing here")
    if random.getstate() != python_before:
        raise Violated("Python's random generator changed its state, but nn.GRU draws nothing here")


@law(
    "randomness",
    {"min_batch": 1, "max_steps": 4, "choices": (*WHOLE, "calls")},
    question="seeds",
)
def repeatable(pair: Pair) -> None:
    """The same seed gives the same result twice, bit for bit, with other calls in between.

    Those calls use another input, a single row, and the other mode; now and then there are a
    hundred others.
    """
    pair.seed()
    first = pair.run()
    for _ in range(pair.case.calls):
        pair.run()
    pair.run(other_input(pair, "call in between"))
    pair.run(pair.input[:, :1], pair.h0[:, :1])
    with pair.mode("train" if pair.case.mode == "eval" else "eval"):
        pair.run()
    pair.seed()
    pair.equal(pair.run(), first, "second run from the same seed")


@law(
    "randomness",
    {
        "mode": "train",
        "partial": True,
        "min_layers": 2,
        "max_steps": 4,
        "min_batch": 1,
        "choices": (*CALLED, "bidirectional"),
    },
)
def mask_count(pair: Pair) -> None:
    """Each step draws num_layers - 1 masks of (batch, hidden_size) at the right rate, no others.

    Both ways together, of twice the width; one by one or several at once, in any order.

    No two of them are equal, except by chance.
    """
    case = pair.case
    with Recorder() as recorder:
        pair.run()
    if recorder.others:
        others = ", ".join(sorted(set(recorder.others)))
        if not recorder.draws:
            raise NotApplicable(f"the target draws random numbers by {others}, not as masks")
        raise Violated(f"the target draws random numbers by {others}, nn.GRU draws only masks")
    masks = next(arranged(pair, recorder.draws), None)
    if masks is None:
        seen = listed([tuple(draw.mask.shape) for draw in recorder.draws])
        raise Violated(f"shapes of the masks drawn: got {seen}, expected {masks_of_a_step(pair)}")
    for draw in recorder.draws:
        # The rate may have been rounded once more on its way through 1 - p.
        if not abs(draw.keep - (1 - case.dropout)) <= 2.0**-52:
            raise Violated(
                f"probability of keeping a value: got {draw.keep!r}, expected 1 - p = "
                f"{1 - case.dropout!r}",
                difference=abs(draw.keep - (1 - case.dropout)),
                allowed=2.0**-52,
            )

    if _equal_by_chance(case) < 2.0**-80:
        drawn = masks.flatten(0, 1).flatten(1)
        if len(torch.unique(drawn, dim=0)) < len(drawn):
            raise Violated("two masks of different steps or layers are equal")


def _equal_by_chance(case: Case) -> float:
    """Return the probability that two masks of (batch, hidden_size) are equal."""
    _, _, rows, units = case.masks_shape
    return float((case.dropout**2 + (1 - case.dropout) ** 2) ** (rows * units))
