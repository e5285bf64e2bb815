"""Laws of magnitudes and dtypes: numbers at the edges, NaN and inf, default dtype, autocast."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.formats import format_of
from stackgru.bounds.rounding import Bounded
from stackgru.cases.case import Case
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.judge import Called, Seen, Within
from stackgru.harness.pair import Pair
from stackgru.harness.reference import expected, reference_masks
from stackgru.laws.helpers.plain import seeded
from stackgru.laws.helpers.values import (
    ANOTHER_EQUATION,
    STATES,
    assert_end_to_end,
    assert_equation,
    is_equation,
    under_masks,
)
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.importing import describe_error


@law("values", {"mode": "eval", "max_steps": 3, "min_batch": 1, "extreme": True})
def magnitudes(pair: Pair) -> None:
    """From subnormal to saturating numbers, in eval, results are nn.GRU's within rounding."""
    assert_equation(pair, pair.steps())
    if pair.kind == "sequence" and pair.full_precision:
        assert_end_to_end(
            pair, pair.run(), pair.run_reference(), expected(pair, None), "extreme numbers"
        )


@law(
    "values",
    {
        "mode": "eval",
        "max_steps": 3,
        "min_batch": 1,
        "extreme": True,
        # Sums may overflow by themselves in float16, in one order and not in another; and bfloat16
        # products of inf and a subnormal number are inf or, where that is taken for zero, NaN.
        "dtypes": FULL_PRECISION,
        "choices": (*CALLED, "not_finite"),
    },
    is_edge=lambda case: case.not_finite.startswith("inf:h0"),
)
def not_finite(
    target: Called, reference: Called, x: Tensor, h0: Tensor, not_finite: str
) -> Iterator[Seen]:
    """A NaN or inf in the input or a state, or NaN in a weight, stays where it stays in nn.GRU.

    In eval, the same results are finite.
    """
    if not_finite.startswith("inf:h0"):
        x = x[:1]  # what comes of it later is inf for some and NaN for others who are right
    found, right = target(x, h0), reference(x, h0)
    for name, own, other in zip(("output", "hn"), found, right, strict=True):
        yield f"whether {name} is finite", own.isfinite(), other.isfinite()


def _note_refused_dtypes(pair: Pair) -> bool:
    """Note the dtypes that the target refuses; return whether there is another default to try."""
    refused = dict(pair.target.refused_dtypes)
    if refused:
        pair.refuse("; ".join(f"{dtype}: {why}" for dtype, why in refused.items()))
    return not set(FULL_PRECISION) & set(refused)


@law(
    "values",
    {"max_steps": 3, "min_batch": 1, "dtypes": FULL_PRECISION, "choices": WHOLE},
    decides="edge inputs",
    needs=_note_refused_dtypes,
    is_of_itself=True,
)
def dtypes(
    target: Called, x: Tensor, h0: Tensor, seed: int, drops: bool, within: Within
) -> Iterator[Seen]:
    """Results have the input's dtype, whatever torch's default dtype is.

    If nothing is random, they are also the same, within rounding.
    """
    plain, before = seeded(target, x, h0, seed), torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if x.dtype == torch.float64 else torch.float64)
    try:
        found = seeded(target, x, h0, seed)
    finally:
        torch.set_default_dtype(before)
    dtypes = [[one.dtype for one in results] for results in (found, plain)]
    yield "dtypes under another default dtype", dtypes[0], dtypes[1]
    if not drops:  # masks may be drawn in the default dtype
        allowed = within(x, h0)
        yield "output under another default dtype", found[0], plain[0], allowed[0]
        yield "hn under another default dtype", found[1], plain[1], allowed[1]


_AUTOCAST = {"min_batch": 1, "dtypes": ("float32",), "usual": True}


@law(
    "values",
    {**_AUTOCAST, "mode": "eval", "max_steps": 2, "choices": ("autocast",)},
    {**_AUTOCAST, "mode": "train", "seq_len": 1, "choices": ("autocast",)},
    share=0.5,
)
def autocast(pair: Pair) -> None:
    """Under autocast, results are nn.GRU's within the rounding of its dtype.

    Where they are nn.GRU's without it; to bfloat16 and float16, and in nn.GRU's own dtype, or the
    input's; in training under nn.GRU's masks.
    """
    if pair.is_scripted:
        raise NotApplicable("TorchScript casts scripted modules by rules of its own")
    try:
        _assert_under_autocast(pair)
    except Violated as error:
        if error.violation.difference is None or is_equation(pair):
            raise
        pair.remark = ANOTHER_EQUATION


def _assert_under_autocast(pair: Pair) -> None:
    masks = reference_masks(pair)
    with pair.grad_mode(), autocast_to(pair):
        dtype = pair.reference(pair.input, pair.h0)[0].dtype
    x, state = pair.input[0], pair.h0

    def run() -> tuple[Tensor, Tensor] | None:
        arguments = (x, state) if pair.kind == "cell" else (x[None], state)
        try:
            with pair.grad_mode(), autocast_to(pair), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                output, hn = pair.module(*arguments)
        except Exception as error:
            pair.refuse(f"under autocast the target raised {describe_error(error)}")
            return None
        return output, hn

    def compare(found: tuple[Tensor, Tensor] | None) -> None:
        if found is None:
            return
        for name, value in zip(("output", "hn"), found, strict=True):
            if value.dtype == x.dtype != dtype:  # on CUDA nn.GRU gives what it casts to
                pair.refuse(f"under autocast: {name} stays {x.dtype}; nn.GRU's is {dtype}")
            elif value.dtype != dtype:
                raise Violated(f"under autocast: {name}: got {value.dtype}, expected {dtype}")
        _assert_autocast(pair, x, state, found[1].detach(), masks)

    if pair.case.mode == "train" and run() is not None:
        under_masks(pair, masks, run, compare)
    if pair.case.mode == "train":
        return
    for x in pair.input:  # noqa: B007 - what is run and compared
        found = run()
        compare(found)
        if found is None or not pair.is_carried:
            return
        state = found[1].detach().to(pair.h0)


def _assert_autocast(
    pair: Pair, x: Tensor, before: Tensor, hn: Tensor, masks: Tensor | None
) -> None:
    to, scale = autocast_dtype(pair.case), pair.case.dropout_scale
    below = cast(Bounded.exact(x), to)
    last = len(pair.layers) - 1
    for index, weights in enumerate(pair.layers):
        state = cast(Bounded.exact(before[index]), to)
        new = rounding.layer(below, state, weights, to)
        if pair.shows_state or index == last:
            what = f"under autocast: new state of layer {index}"
            pair.within(hn[index], new.value, rounding.allowed(new, to), what, STATES[2:])
        below = cast(Bounded.exact(hn[index]) if pair.shows_state else new, to)
        if masks is not None and index < last:
            below = rounding.dropped(below, masks[index, 0], scale, to)


def cast(value: Bounded, dtype: torch.dtype = torch.bfloat16) -> Bounded:
    """Return a value as autocast hands it to a product."""
    # Both factors of a product are cast: one rounding of each, here both of the one.
    form = format_of(dtype)
    error = 4.02 * form.unit * value.value.abs() + form.smallest
    return Bounded(value.value, value.error + error)


def autocast_dtype(case: Case) -> torch.dtype:
    """Return the dtype of a case's autocast; cases of 0.1 do not say that it is bfloat16."""
    dtype: torch.dtype = getattr(torch, case.autocast or "bfloat16")
    return dtype


def autocast_to(pair: Pair) -> torch.autocast:
    """Return the context of the case's autocast."""
    return torch.autocast(pair.input.device.type, dtype=autocast_dtype(pair.case))


def _shows_layers(pair: Pair) -> None:
    """Raise NotApplicable if the states of a target's layers are not seen."""
    if not pair.shows_layers or (pair.kind == "sequence" and not pair.is_carried):
        raise NotApplicable("the states of its layers are not seen")


@law(
    "values",
    {
        "mode": "eval",
        "min_batch": 2,
        "dtypes": ("bfloat16", "float16"),
        "usual": True,
        "choices": (),
    },
    share=0.5,
    needs=_shows_layers,
)
def unbiased(target: Called, reference: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """In half precision, errors of new states lean neither one way, nor to zero or the old state.

    Each is compared with the equation of its own input and old state. Of n independent errors, as
    likely above as below, the signs sum up to more than sqrt(2 n log(2 / q)) with probability q at
    most (Hoeffding 1963), here 1e-10; an eighth of n is given away besides, for errors that are not
    independent. States next to 0 and 1 are left out: saturated ones all lean one way.
    """
    states = [h0]
    if len(h0) == 1:  # the outputs are all states
        states += target(x, h0)[0][:, None]
    for step in x if len(h0) > 1 else ():
        states.append(target(step[None], states[-1])[1])
    exact: Any = copy.deepcopy(getattr(reference, "module", reference)).double()
    signs: list[Tensor] = []
    for below, old, new in zip(x, states, states[1:]):  # noqa: B905 - Python 3.9
        for layer, weights in enumerate(exact.all_weights):
            before = old[layer].double()
            right = torch.gru_cell(below.double(), before, *weights)
            error, below = new[layer].double() - right, new[layer]
            counted = (right.abs() > 0.125) & (right.abs() < 0.875) & (error != 0)
            each = torch.stack([error, error * right, error * (before - right)])
            signs.append(each[:, counted].sign())
    number = sum(one.shape[1] for one in signs)
    allowed = torch.tensor((2 * number * math.log(2e10)) ** 0.5 + number / 8).double().floor()
    ways = ("one way", "to or from zero", "to or from the old state")
    for way, lean in zip(ways, torch.cat(signs, 1).sum(1).abs(), strict=True):
        yield f"sum of the signs of {number} errors that lean {way}", lean, lean * 0, allowed
