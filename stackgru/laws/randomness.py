"""Laws of randomness: what is drawn from torch's generator, when, and in which shape."""

from __future__ import annotations

import random

import torch

from stackgru.cases.case import Case
from stackgru.harness.masks import Recorder, arrange
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.values import orders, other_input
from stackgru.laws.registry import law
from stackgru.outcomes import Violated


@law("randomness", {"mode": "train", "seq_len": 1, "min_batch": 1}, question="seeds")
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
    {"mode": "eval", "max_steps": 3},
    {"mode": "train", "dropout": 0.0, "max_steps": 3},
    {"mode": "train", "dropout": 1.0, "max_steps": 3},
    {"mode": "train", "num_layers": 1, "max_steps": 3},
    {"mode": "train", "max_batch": 0, "max_steps": 3},
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


@law("randomness", {"min_batch": 1, "max_steps": 4}, question="seeds")
def repeatable(pair: Pair) -> None:
    """The same seed gives the same result twice, bit for bit, with other calls in between.

    Those calls use another input, a single row, and the other mode.
    """
    pair.seed()
    first = pair.run()
    pair.run(other_input(pair, "call in between"))
    pair.run(pair.input[:, :1], pair.h0[:, :1])
    with pair.mode("train" if pair.case.mode == "eval" else "eval"):
        pair.run()
    pair.seed()
    pair.equal(pair.run(), first, "second run from the same seed")


@law(
    "randomness",
    {"mode": "train", "partial": True, "min_layers": 2, "max_steps": 4, "min_batch": 1},
)
def mask_count(pair: Pair) -> None:
    """Each step draws num_layers - 1 masks of (batch, hidden_size) at the right rate, no others.

    No two of them are equal, except by chance.
    """
    case = pair.case
    with Recorder() as recorder:
        pair.run()
    if recorder.others:
        others = ", ".join(sorted(set(recorder.others)))
        raise Violated(f"the target draws random numbers by {others}, nn.GRU draws only masks")
    shape = (case.num_layers - 1, case.seq_len, case.batch, case.hidden_size)
    every = [arrange(recorder.draws, shape, order) for order in orders(pair)]
    masks = next((one for one in every if one is not None), None)
    if masks is None:
        seen = [tuple(draw.mask.shape) for draw in recorder.draws]
        raise Violated(
            f"shapes of the masks drawn: got {_listed(seen)}, expected {shape[2:]} for each of "
            f"num_layers - 1 = {shape[0]} masks in each of {shape[1]} steps"
        )
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
    return float((case.dropout**2 + (1 - case.dropout) ** 2) ** (case.batch * case.hidden_size))


def _listed(shapes: list[tuple[int, ...]]) -> str:
    shown = ", ".join(map(str, shapes[:4]))
    return f"{shown}, ... ({len(shapes)} in all)" if len(shapes) > 4 else shown or "none"
