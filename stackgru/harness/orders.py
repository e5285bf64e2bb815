"""In which order a target draws its masks, told by what they do.

Only what a mask does tells whether it is nn.GRU's: several may be drawn at once, with merged axes,
in any order, and again by a recomputation. An order that is not nn.GRU's is looked for once for
each target: in one small case each value that it draws is dropped by itself, and has to do what one
of nn.GRU's does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.harness.masks import LAYER_ORDER, ORDERS, TIME_ORDER, Draw, Injector, arrange, flat
from stackgru.harness.pair import Pair, Run
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import Target

#: Small, and large enough that all of ORDERS differ.
_PROBE = Case(
    input_size=2, hidden_size=2, num_layers=4, batch=2, seq_len=5, dropout=0.5, mode="train"
)
_SEEDS = range(1, 4)  # of which the first may give a value that hardly matters


def reference_order(pair: Pair) -> Tensor:
    """Return the places in all masks, (L - 1, T, B, D H), in the order in which nn.GRU draws."""
    return next(_in_case(pair, [LAYER_ORDER]))


def orders_of(pair: Pair) -> Iterator[Tensor]:
    """Yield the orders in which a target may draw its masks; see reference_order.

    First those of its kind: a cell goes step by step, a sequence so or layer by layer. Then what
    was found out about this target.
    """
    seen: list[Tensor] = []
    for order in chain(_in_case(pair, _usual(pair)), _found_in_case(pair)):
        if not any(torch.equal(order, other) for other in seen):
            seen.append(order)
            yield order


def _usual(pair: Pair) -> list[str]:
    return [TIME_ORDER] if pair.kind == "cell" else [LAYER_ORDER, TIME_ORDER]


def _found_in_case(pair: Pair) -> Iterator[Tensor]:
    """Yield what was found out about a target, which takes time, and only if it is asked for."""
    yield from _in_case(pair, orders_found(pair) or ())


def arranged(pair: Pair, draws: Sequence[Draw]) -> Iterator[Tensor]:
    """Yield what a run's masks may have been, bool and (L - 1, T, B, D H)."""
    kept, active = flat(draws), pair.form.active
    for order in orders_of(pair):
        masks = arrange(kept, order, pair.case.masks_shape)
        if masks is not None:
            yield masks if active is None else masks | ~active


def assert_told(pair: Pair) -> None:
    """Raise NotApplicable if a target's masks do what nn.GRU's do, in an order that is unknown."""
    if orders_found(pair) == ():
        raise NotApplicable("the order in which the target draws its masks cannot be told")


def _in_case(pair: Pair, names: Sequence[str]) -> Iterator[Tensor]:
    """Yield orders for a case: of packed rows in their order or the case's, and of padded ones."""
    places = torch.arange(torch.Size(pair.case.masks_shape).numel()).reshape(pair.case.masks_shape)
    active = pair.form.active
    for rows in (pair.form.places(places), *([places] if pair.case.form == "packed" else [])):
        for name in names:
            order = ORDERS[name](rows)
            if active is not None:
                yield order[active.expand(pair.case.masks_shape).flatten()[order]]
                order = ORDERS[name](rows[:, : max(pair.case.row_lengths)])  # as they are padded
            yield order


def orders_found(pair: Pair) -> tuple[str, ...] | None:
    """Return the orders in which a pair's target may draw its masks, by what each value does.

    Returns:
        Names in ORDERS, none if it is none of these; None if its masks do not do what nn.GRU's do,
        or it draws none, with one layer only or another rate.
    """
    return found_orders(pair.target, pair.case.form, pair.case.batch_first)


@functools.lru_cache(maxsize=64)
def found_orders(
    target: Target, form: str = "plain", batch_first: bool = False
) -> tuple[str, ...] | None:
    """Return the orders in which a target may draw its masks in a form; see orders_found."""
    dtype = "float32" if "float64" in dict(target.refused_dtypes) else "float64"
    rows = 1 if form == "unbatched" else _PROBE.batch
    case = target.fitted(replace(_PROBE, form=form, batch_first=batch_first, batch=rows))
    if not case.drops:
        return None
    for seed in _SEEDS:
        with torch.random.fork_rng(devices=[]):
            try:
                pair = Pair(target, replace(case, dtype=dtype, seed=seed))
                order = _order(pair)
            except (Violated, NotApplicable):
                return None
        if order is not None:
            places = torch.arange(len(order)).reshape(pair.case.masks_shape)
            found = (name for name, of in ORDERS.items() if torch.equal(of(places), order))
            return tuple(found)
    return None


def _common_order(pair: Pair) -> Tensor | None:
    """Return the place of each value that a target draws, if plainly in one of two common orders.

    Each value is dropped in some of a few masks, in others than any other is, so that two orders
    differ under one of these at least.
    """
    number = torch.Size(pair.case.masks_shape).numel()
    places = torch.arange(number).reshape(pair.case.masks_shape)
    codes = torch.randperm(number, generator=torch.Generator().manual_seed(0))
    kept = torch.stack([codes >> bit & 1 == 1 for bit in range((number - 1).bit_length())])
    own, apart = _results(pair, pair.run, kept), []
    orders = [ORDERS[name](places) for name in (LAYER_ORDER, TIME_ORDER)]
    for order in orders:
        arranged = torch.empty_like(kept)
        arranged[:, order] = kept
        apart.append(float((own - _results(pair, pair.run_reference, arranged)).abs().amax()))
    nearest = min(range(len(orders)), key=apart.__getitem__)
    is_plain = apart[nearest] < max(apart) * torch.finfo(pair.input.dtype).eps ** 0.5
    return orders[nearest] if is_plain else None


def _order(pair: Pair) -> Tensor | None:
    """Return the place of each value that the target draws, or None if one has none.

    Raises:
        NotApplicable: if it draws another number of values, or what they do is not nn.GRU's.
    """
    common = _common_order(pair)
    if common is not None:
        return common
    number = torch.Size(pair.case.masks_shape).numel()
    alone = ~torch.eye(number, dtype=torch.bool)
    right = _results(pair, pair.run_reference, alone)
    apart = (right[:, None] - right).abs().amax(-1) + torch.eye(number) * 2.0**10
    far, rows = apart.median() / 4, []
    for kept in alone:  # one by one, since the first may tell
        rows.append((_results(pair, pair.run, kept[None]) - right).abs().amax(-1))
        if rows[-1].amin() >= far:  # whatever the seed
            raise NotApplicable("its masks do not do what nn.GRU's do")
    near = torch.stack(rows)
    order = near.argmin(1)
    is_clear = bool(near.amin(1).amax() < apart.amin() / 4)
    return order if is_clear and len({*order.tolist()}) == number else None


def _results(pair: Pair, run: Callable[[], Run], masks: Tensor) -> Tensor:
    """Return a run's results, a row for each row of masks: what is kept of the values drawn."""
    found = []
    for kept in masks:
        pair.seed()
        with Injector(kept) as injector:
            results = run()
        if not injector.complete:
            raise NotApplicable("another number of values is drawn")
        found.append(torch.cat([results.outputs.flatten(), results.hn.flatten()]).double().cpu())
    return torch.stack(found)
