"""Laws of magnitudes and dtypes: numbers at the edges, NaN and inf, default dtype, autocast."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.cases.strategies import CALLED, WHOLE
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import expected, reference_masks
from stackgru.laws.helpers.values import (
    ANOTHER_EQUATION,
    STATES,
    assert_end_to_end,
    assert_equation,
    is_equation,
    of_itself,
)
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.importing import describe_error


@law(
    "values",
    {
        "mode": "eval",
        "max_steps": 3,
        "min_batch": 1,
        "extreme": True,
        "choices": (*CALLED, "not_finite"),
    },
)
def magnitudes(pair: Pair) -> None:
    """From subnormal to saturating numbers, results are nn.GRU's, and NaN and inf stay in place.

    In eval, within rounding; a NaN or inf in the input or a state makes the same results
    non-finite as in nn.GRU.
    """
    assert_equation(pair, pair.steps())
    if pair.kind == "sequence" and pair.full_precision:
        assert_end_to_end(
            pair, pair.run(), pair.run_reference(), expected(pair, None), "extreme numbers"
        )
    if not pair.full_precision or not pair.case.not_finite:
        # Sums may overflow by themselves in float16, in one order and not in another; and bfloat16
        # products of inf and a subnormal number are inf or, where that is taken for zero, NaN.
        return
    input, h0 = pair.input.clone(), pair.h0.clone()
    value, name, place = pair.case.place_not_finite
    {"input": input, "h0": h0}[name][place] = float(value)
    if (value, name) == ("inf", "h0"):
        input = input[:1]  # what comes of it later is inf for some and NaN for others who are right
    run, reference = pair.run(input, h0), pair.run_reference(input, h0)
    finite, expected_finite = (
        Run(one.outputs.isfinite().double(), one.hn.isfinite().double()) for one in (run, reference)
    )
    try:
        pair.equal(finite, expected_finite, f"with {value} in {name}, 1.0 where finite")
    except Violated as error:
        if (value, name) != ("inf", "h0"):
            raise
        pair.refuse(f"an infinite h0: {error}")  # which nobody has


@law(
    "values",
    {"max_steps": 3, "min_batch": 1, "dtypes": FULL_PRECISION, "choices": WHOLE},
    decides="edge inputs",
)
def dtypes(pair: Pair) -> None:
    """Results have the input's dtype, whatever torch's default dtype is.

    If nothing is random, they are also the same, within rounding.
    """
    if pair.target.refused_dtypes:
        pair.refuse("; ".join(f"{dtype}: {why}" for dtype, why in pair.target.refused_dtypes))
    if {*FULL_PRECISION} & {dtype for dtype, _ in pair.target.refused_dtypes}:
        return  # under another default dtype it is that one
    of_itself(pair, _assert_under_another_default)


def _assert_under_another_default(pair: Pair) -> None:
    masks = reference_masks(pair)
    pair.seed()
    plain = pair.run()
    pair.seed()
    with _default_dtype(torch.float32 if pair.case.dtype == "float64" else torch.float64):
        other = pair.run()
    if not pair.case.drops:
        bound = expected(pair, masks)
        assert_end_to_end(pair, other, plain, bound, "under another default dtype")


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@law(
    "values",
    {
        "mode": "eval",
        "max_steps": 2,
        "min_batch": 1,
        "dtypes": ("float32",),
        "usual": True,
        "choices": (),
    },
)
def autocast(pair: Pair) -> None:
    """Under autocast to bfloat16, results have nn.GRU's dtype, within bfloat16's rounding.

    Where they are nn.GRU's without it.
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
    with _autocast():
        dtype = pair.reference(pair.input, pair.h0)[0].dtype
        state = pair.h0
        for x in pair.input:
            arguments = (x, state) if pair.kind == "cell" else (x[None], state)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    output, hn = pair.module(*arguments)
            except Exception as error:
                pair.refuse(f"under autocast the target raised {describe_error(error)}")
                return
            for name, value in (("output", output), ("hn", hn)):
                if value.dtype != dtype:
                    raise Violated(f"under autocast: {name}: got {value.dtype}, expected {dtype}")
            _assert_autocast(pair, x, state, hn)
            if not pair.is_carried:
                return
            state = hn.to(pair.h0)


def _assert_autocast(pair: Pair, x: Tensor, before: Tensor, hn: Tensor) -> None:
    below = cast(Bounded.exact(x))
    last = len(pair.layers) - 1
    for index, weights in enumerate(pair.layers):
        state = cast(Bounded.exact(before[index]))
        new = rounding.layer(below, state, weights, torch.bfloat16)
        if pair.shows_state or index == last:
            what = f"under autocast: new state of layer {index}"
            error = rounding.allowed(new, torch.bfloat16)
            pair.within(hn[index], new.value, error, what, STATES[2:])
        below = cast(Bounded.exact(hn[index]) if pair.shows_state else new)


def cast(value: Bounded) -> Bounded:
    """Return a value as autocast hands it to a product."""
    # Both factors of a product are cast to bfloat16: one rounding of each, here both of the one.
    return Bounded(value.value, value.error + 2.01 * 2.0**-8 * value.value.abs())


@contextmanager
def _autocast() -> Iterator[None]:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        yield
