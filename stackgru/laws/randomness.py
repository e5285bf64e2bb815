"""Laws of randomness: what is drawn from torch's generator, when, and in which shape."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.judge import Called, Seen
from stackgru.harness.masks import Recorder
from stackgru.harness.orders import arranged
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.plain import next_numbers, seeded, set_seed
from stackgru.laws.helpers.values import listed, masks_of_a_step
from stackgru.laws.registry import law
from stackgru.outcomes import NotApplicable, Violated


@law(
    "randomness",
    {"mode": "train", "seq_len": 1, "min_batch": 1, "choices": WHOLE},
    question="seeds",
)
def same_draws(
    target: Called, reference: Called, x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """After one step from the same seed, torch's generator is in the state that nn.GRU leaves."""
    numbers = []
    for module in (target, reference):
        seeded(module, x, h0, seed)
        numbers.append(next_numbers(x))
    yield "the next numbers of torch's generator after a step", numbers[0], numbers[1]


@law(
    "randomness",
    {"mode": "eval", "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "dropout": 0.0, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "dropout": 1.0, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "num_layers": 1, "max_steps": 3, "choices": WHOLE},
    {"mode": "train", "max_batch": 0, "max_steps": 3, "choices": WHOLE},
    question="seeds",
)
def no_draws(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """Nothing is drawn in eval, at dropout rates 0 and 1, with one layer, or for an empty batch."""
    set_seed(seed, x)
    right = next_numbers(x)
    seeded(target, x, h0, seed)
    yield "the next numbers of torch's generator, where nn.GRU draws none", next_numbers(x), right
    python = random.getstate()
    target(x, h0)
    yield "whether Python's generator is as it was", random.getstate() == python, True


@law(
    "randomness",
    {"min_batch": 1, "max_steps": 4, "choices": (*WHOLE, "calls")},
    question="seeds",
    share=0.8,
)
def repeatable(target: Called, x: Tensor, h0: Tensor, seed: int, calls: int) -> Iterator[Seen]:
    """The same seed gives the same result twice, bit for bit, with other calls in between.

    Those calls use another input, a single row, and the other mode; now and then there are a
    hundred others.
    """
    first = [part.detach().clone() for part in seeded(target, x, h0, seed)]
    for _ in range(calls):
        target(x, h0)
    target(x + 1, h0)
    target(x[:, :1].clone(), h0[:, :1].clone())
    mode = target.module.training
    target.module.train(not mode)
    target(x, h0)
    target.module.train(mode)
    again = seeded(target, x, h0, seed)
    yield "output, again from the same seed", again[0], first[0]
    yield "hn, again from the same seed", again[1], first[1]


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
