"""Hypothesis strategies for cases.

Sizes are capped here and nowhere else. Everything shrinks to the plainest case: one layer, one
step, one row, one unit, no dropout, float64, eval, seed 0, the usual magnitudes.

Numbers come from sampled_from, not from integers: Hypothesis follows each example with up to five
that copy one draw over another of the same strategy, so with integers everywhere a hundred examples
contained some twenty independent ones. Different lists are different strategies.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from stackgru.cases.case import MAGNITUDES, MAX_SEED, MODES, Case
from stackgru.options import DTYPES

MAX_SIZE = 64
MAX_LAYERS = 6
MAX_BATCH = 16
MAX_STEPS = 12

#: Rates near 0 and 1, for which 1 - p rounds or its inverse is huge.
_EDGES = [5e-324, 1e-300, 2.0**-54, 2.0**-24, 1e-3, 0.999, 1 - 2.0**-24, 1 - 2.0**-53]


def rates(*, partial: bool = False) -> st.SearchStrategy[float]:
    """Dropout rates in [0, 1], or in (0, 1) if ``partial``, mostly away from the edges."""
    middle = [0.5, 0.1, 0.9, 0.25, 0.75]
    if partial:
        return st.sampled_from(middle * 3 + _EDGES) | st.floats(0.01, 0.99)
    return st.sampled_from([0.0, *middle * 3, 1.0, 1.0, *_EDGES]) | st.floats(0.01, 0.99)


@functools.cache
def magnitudes(usual: int) -> st.SearchStrategy[str]:
    """Magnitudes of weights, input or state; the usual one is ``usual`` times as likely."""
    plain, *others = MAGNITUDES
    return st.sampled_from([plain] * usual + others)


@functools.cache
def sizes(low: int, high: int, small: int = 0) -> st.SearchStrategy[int]:
    """Sizes from low to high; about half of them among the ``small`` smallest, if any."""
    every = list(range(low, high + 1))
    some = every[:small]
    return st.sampled_from(some * (len(every) // max(1, small)) + every)


@functools.cache
def batches(low: int, high: int) -> st.SearchStrategy[int]:
    """Numbers of rows; an empty batch is as likely as others, but one row is the simplest."""
    rows = list(range(low, high + 1))
    if rows[:2] == [0, 1]:
        rows[:2] = [1, 0]
    return st.sampled_from(rows[:2] * (len(rows) // 2) + rows)


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    num_layers: int | None = None,
    min_layers: int = 1,
    max_layers: int = MAX_LAYERS,
    seq_len: int | None = None,
    min_steps: int = 1,
    max_steps: int = MAX_STEPS,
    min_batch: int = 0,
    max_batch: int = MAX_BATCH,
    max_size: int = MAX_SIZE,
    dropout: float | None = None,
    partial: bool = False,
    mode: str | None = None,
    dtypes: Sequence[str] = DTYPES,
    bias: bool | None = None,
    usual: bool = False,
    extreme: bool = False,
    only: Mapping[str, Sequence[int]] | None = None,
    one_width: bool = False,
) -> Case:
    """Cases; an argument pins its field or limits it, None leaves it to be drawn.

    ``partial`` restricts rates to (0, 1), ``usual`` keeps all magnitudes usual, and ``extreme``
    makes all magnitudes equally likely. ``only`` has the sizes that are possible, if not all are,
    and ``one_width`` makes input_size the hidden_size.
    """
    layers = num_layers
    if layers is None:
        layers = draw(sizes(min_layers, max_layers), label="num_layers")
    steps = (
        seq_len if seq_len is not None else draw(sizes(min_steps, max_steps, 2), label="seq_len")
    )
    weights, input, state = (
        "usual" if usual else draw(magnitudes(1 if extreme else often), label=label)
        for often, label in ((9, "weights"), (8, "input"), (7, "state"))
    )
    batch = draw(batches(min_batch, max_batch), label="batch")

    def width(name: str, small: int) -> st.SearchStrategy[int]:
        possible = (only or {}).get(name) or (one_width and next(iter((only or {}).values()), None))
        if not possible:
            return sizes(1, max_size, small)
        return st.sampled_from([one for one in possible if one <= max_size] or possible[:1])

    hidden = draw(width("hidden_size", 4), label="hidden_size")
    return Case(
        num_layers=layers,
        seq_len=steps,
        batch=batch,
        hidden_size=hidden,
        input_size=hidden if one_width else draw(width("input_size", 3), label="input_size"),
        dropout=draw(rates(partial=partial), label="dropout") if dropout is None else dropout,
        dtype=draw(st.sampled_from(dtypes), label="dtype"),
        mode=draw(st.sampled_from(MODES), label="mode") if mode is None else mode,
        bias=draw(st.sampled_from([True, True, False]), label="bias") if bias is None else bias,
        seed=draw(st.integers(0, MAX_SEED), label="seed"),
        weights=weights,
        input=input,
        state=state,
    )
