"""Hypothesis strategies for cases.

Sizes are capped here and nowhere else. Everything shrinks to the plainest case: one layer, one
step, one row, one unit, no dropout, float64, eval, seed 0, the usual magnitudes.

Numbers come from sampled_from, not from integers: Hypothesis follows each example with up to five
that copy one draw over another of the same strategy, so with integers everywhere a hundred examples
contained some twenty independent ones. Different lists are different strategies, and so is a list
that is repeated.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import strategies as st

from stackgru.cases.case import (
    ARGUMENTS_AS,
    AUTOCAST,
    FORMS,
    LOSSES,
    MAGNITUDES,
    MAX_SEED,
    MODES,
    NOT_FINITE,
    OPTIMISERS,
    STATES_GIVEN,
    STRIDES,
    Case,
)
from stackgru.options import DTYPES, UsageError, did_you_mean

MAX_SIZE = 64
MAX_LAYERS = 6
MAX_BATCH = 16
MAX_STEPS = 12
#: Now and then one size is drawn up to that of a real model; the others are then at most those of
#: _BESIDE, so that an example takes milliseconds.
REAL = {"hidden_size": 1024, "input_size": 1024, "batch": 256, "seq_len": 300, "num_layers": 12}
_BESIDE = {"hidden_size": 8, "input_size": 8, "batch": 2, "seq_len": 2, "num_layers": 2}
_SELDOM = 20  # so many cases have no such size for each that has one of a kind
_WEIGHTS = 2**21  # of all layers together beside such a width, unless one layer has more

#: Rates near 0 and 1, for which 1 - p rounds or its inverse is huge.
_EDGES = [5e-324, 1e-300, 2.0**-54, 2.0**-24, 1e-3, 0.999, 1 - 2.0**-24, 1 - 2.0**-53]


def rates(*, partial: bool = False) -> st.SearchStrategy[float]:
    """Dropout rates in [0, 1], or in (0, 1) if ``partial``, mostly away from the edges."""
    middle = [0.5, 0.1, 0.9, 0.25, 0.75]
    if partial:
        return st.sampled_from(middle * 3 + _EDGES) | st.floats(0.01, 0.99)
    return st.sampled_from([0.0, *middle * 3, 1.0, 0, 1, 1, 1, *_EDGES]) | st.floats(0.01, 0.99)


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


@functools.cache
def larger(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Which of these sizes is that of a real model, seldom any."""
    return st.sampled_from(["", *[""] * (_SELDOM if names else 0), *names])


@functools.cache
def real_sizes(name: str, *, is_given: bool) -> st.SearchStrategy[int]:
    """Sizes of real models; half of them in the lowest eighth, or the highest of a law's steps.

    The usual ones, of which at most an eighth is drawn, come before them, to shrink to.
    """
    above = {"batch": MAX_BATCH, "seq_len": MAX_STEPS, "num_layers": MAX_LAYERS}.get(name, MAX_SIZE)
    usual = range(1, above + 1)
    every = list(range(above + 1, REAL[name] + 1))
    eighth = len(every) // 8
    often = every[:eighth] * 7
    if is_given and name in ("batch", "seq_len"):
        often = every[-eighth:] * 7 if name == "seq_len" else []
    real = [*often, *every]
    return st.sampled_from([*usual, *real * math.ceil(7 * len(usual) / len(real))])


@functools.cache
def grads(mode: str) -> st.SearchStrategy[str]:
    """Whether gradients are recorded, mostly as usual in the mode."""
    unusual = "off" if mode == "train" else "on"
    return st.sampled_from(["usual"] * 6 + [unusual, "inference"])


def _not_finite(case: Case) -> st.SearchStrategy[str]:
    """Places of a NaN or an infinity: in the input or h0, and of a NaN in a weight.

    What comes of an infinite state, later or in the layer above, is inf for some and NaN for others
    who are right: it is put into the last layer's.
    """

    def place(value: str, name: str, axes: Sequence[Sequence[int]]) -> st.SearchStrategy[str]:
        drawn = st.tuples(*map(st.sampled_from, axes))
        return drawn.map(lambda at: ":".join(map(str, (value, name, *at))))

    rows, last = range(case.batch), case.num_layers - 1
    of_input = range(case.seq_len), rows, range(case.input_size)
    units = range(case.hidden_size)
    weights = [(name, tuple(map(range, shape))) for name, shape in [*case.shapes.items()][2:]]
    biases = [one for one in weights if "bias" in one[0]]
    of_weights = st.sampled_from([*weights, *biases]).flatmap(lambda one: place("nan", *one))
    return st.one_of(
        *(place(value, "input", of_input) for value in NOT_FINITE),
        place("nan", "h0", (range(case.num_layers), rows, units)),
        place("inf", "h0", ([last], rows, units)),
        *[of_weights] * 3,
    )


def _frozen(case: Case) -> st.SearchStrategy[str]:
    """Parts of what has gradients, never all of it."""
    names = case.differentiable

    def named(are_frozen: Sequence[bool]) -> str:
        some = [name for name, is_frozen in zip(names, are_frozen, strict=True) if is_frozen]
        return ",".join(some[: len(names) - 1])

    return _each_of(len(names), (False, True)).map(named)


def _each_of(number: int, values: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """So many of these values; no two of the first sixteen are drawn by the same strategy."""
    return st.tuples(*(st.sampled_from([*values] * (1 + at % 16)) for at in range(number)))


def _lengths(case: Case) -> st.SearchStrategy[str]:
    """Steps of each packed row, all of them for half of the rows; sorted where the form is.

    The first of long rows has all of them: what is short is tried often enough.
    """
    if not case.form.startswith("packed"):
        return st.just("")
    steps = case.seq_len

    def listed(lengths: tuple[int, ...]) -> str:
        lengths = lengths if steps <= MAX_STEPS else (steps, *lengths[1:])
        ordered = sorted(lengths, reverse=True) if case.form == "packed-sorted" else lengths
        return ",".join(map(str, ordered))

    return _each_of(case.batch, [*range(1, steps + 1), *[steps] * steps]).map(listed)


@functools.cache
def among(values: tuple[Any, ...], name: str) -> st.SearchStrategy[Any]:
    """Values of a field of CALL, the plainest first and drawn more often, and "packed" twice."""
    number = {"form": 3, "h0": 3, "bidirectional": 2}.get(name, 1)
    again = [value for value in values if value == "packed"]  # with most ways to be wrong
    return st.sampled_from([*values[:1] * number, *values[1:], *again])


#: What a law may choose besides, and the values that the choice may have in a case.
_CHOICES: dict[str, Callable[[Case], st.SearchStrategy[Any]]] = {
    "grad": lambda case: grads(case.mode),
    "threads": lambda case: st.sampled_from([1] * 3 + [2]),  # the second costs much on busy cores
    "deterministic": lambda case: st.sampled_from([False] * 3 + [True]),
    "lengths": _lengths,
    "autocast": lambda case: st.sampled_from(AUTOCAST[1:]),
    "arguments": lambda case: st.sampled_from([*ARGUMENTS_AS[:1] * 3, *ARGUMENTS_AS[1:]]),
    "calls": lambda case: st.sampled_from([0] * 14 + [1, 2, 5, 40, 120, 120]),
    "trained": lambda case: st.sampled_from([True, False]),
    "split": lambda case: sizes(1, case.seq_len - 1),
    "row": lambda case: sizes(0, case.batch - 1),
    "more_rows": lambda case: sizes(0, 3),
    "input_strides": lambda case: st.sampled_from(STRIDES),
    "state_strides": lambda case: st.sampled_from(STRIDES),
    "not_finite": _not_finite,
    "frozen": _frozen,
    "loss": lambda case: st.sampled_from(LOSSES),
    "optimiser": lambda case: st.sampled_from(OPTIMISERS),
    "updates": lambda case: sizes(1, 3),
}


#: What belongs to a way to call a module, of which a target may refuse some.
CALL = ("form", "h0", "batch_first", "bidirectional")
Call = tuple[str, str, bool, bool]
_PLAIN_CALL: tuple[Call, ...] = (("plain", "given", False, False),)
EVERY_CALL: tuple[Call, ...] = tuple(product(FORMS, STATES_GIVEN, (False, True), (False, True)))

#: What is drawn if a law chooses nothing else: how the target is called.
CALLED = ("form", "grad", "h0", "batch_first")
#: What a law of whole sequences may choose besides: rows of their own lengths, and both ways.
WHOLE = (*CALLED, "lengths", "bidirectional")


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
    large: str = "",
    calls: Sequence[Call] = _PLAIN_CALL,
    bidirectional: bool = False,
    casts: Sequence[str] = AUTOCAST[1:],
    choices: Sequence[str] = CALLED,
) -> Case:
    """Cases; an argument pins its field or limits it, None leaves it to be drawn.

    ``partial`` restricts rates to (0, 1), ``usual`` keeps all magnitudes usual, and ``extreme``
    makes all magnitudes equally likely. ``large`` is a size that is that of a real model in every
    case. ``only`` has the sizes that are possible, if not all are,
    and ``one_width`` makes input_size the hidden_size. ``choices`` names what else is drawn, each
    of which may depend on those before it; what is not named keeps its default. ``calls`` are
    the values of CALL that are possible together, and ``casts`` the dtypes of autocast.
    """
    possible = tuple(one for one in calls if _is_chosen(one, choices, bidirectional=bidirectional))
    possible = tuple(one for one in possible if _has_rows(one, min_batch, max_batch))
    call: dict[str, Any] = {}
    for place, name in enumerate(CALL):
        values = tuple(dict.fromkeys(one[place] for one in possible))
        call[name] = draw(among(values, name), label=name) if len(values) > 1 else values[0]
        possible = tuple(one for one in possible if one[place] == call[name])
    form = call["form"]
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
    # Drawn for all forms, so that each can shrink to another.
    batch = draw(batches(min_batch, max_batch), label="batch")
    batch = {"plain": batch, "unbatched": 1}.get(form, max(1, batch))

    def width(name: str, small: int) -> st.SearchStrategy[int]:
        possible = (only or {}).get(name) or (one_width and next(iter((only or {}).values()), None))
        if not possible:
            return sizes(1, max_size, small)
        return st.sampled_from([one for one in possible if one <= max_size] or possible[:1])

    hidden = draw(width("hidden_size", 4), label="hidden_size")
    drawn: dict[str, Any] = {
        "num_layers": layers,
        "seq_len": steps,
        "batch": batch,
        "hidden_size": hidden,
        "input_size": hidden if one_width else draw(width("input_size", 3), label="input_size"),
    }
    free = {
        "num_layers": num_layers is None and max_layers == MAX_LAYERS,
        "seq_len": seq_len is None and max_steps == MAX_STEPS,
        "batch": max_batch == MAX_BATCH and form != "unbatched",
        "hidden_size": max_size == MAX_SIZE and not only,
        "input_size": max_size == MAX_SIZE and not only and not one_width,
    }
    is_given = free.get(large, False)
    if not is_given:
        large = draw(larger(tuple(name for name in free if free[name])), label="larger")
    if large:
        least = {"num_layers": num_layers or min_layers, "seq_len": seq_len or min_steps}
        for name in drawn if not only else ("num_layers", "seq_len", "batch"):
            drawn[name] = min(drawn[name], max(_BESIDE[name], least.get(name, 0)))
        size = draw(real_sizes(large, is_given=is_given), label=large)
        drawn[large] = max(size, least.get(large, 0))
        if large == "hidden_size" and num_layers is None:
            most = _WEIGHTS // (6 * drawn[large] ** 2)
            drawn["num_layers"] = min(drawn["num_layers"], max(min_layers, most))
        drawn["input_size"] = drawn["hidden_size"] if one_width else drawn["input_size"]
    rate = draw(rates(partial=partial), label="dropout") if dropout is None else dropout
    if "form" not in choices:  # TorchScript takes no whole numbers for floats
        rate = float(rate)
    case = Case(
        **drawn,
        dropout=rate,
        dtype=draw(st.sampled_from(dtypes), label="dtype"),
        mode=draw(st.sampled_from(MODES), label="mode") if mode is None else mode,
        bias=draw(st.sampled_from([True, True, False]), label="bias") if bias is None else bias,
        seed=draw(st.integers(0, MAX_SEED), label="seed"),
        weights=weights,
        input=input,
        state=state,
        **call,
    )
    for name in choices:
        if name not in CALL:
            chosen: st.SearchStrategy[Any] = (
                st.sampled_from(casts) if name == "autocast" else _CHOICES[name](case)
            )
            case = replace(case, **{name: draw(chosen, label=name)})
    return case


def domain(**limits: Any) -> Mapping[str, Any]:
    """Return the domain of a law: the cases within limits, of those that a target allows.

    Args:
        **limits: arguments of cases, such as ``mode="eval"``, ``seq_len=1``, ``min_layers=2``,
            ``dtypes=("float64",)`` or ``choices=("form", "grad")``.

    Raises:
        UsageError: if there is no such limit or choice.
    """
    known = [name for name in inspect.signature(cases).parameters if name not in _OF_TARGETS]
    choices = limits.get("choices", ())
    for name, names in [(name, known) for name in limits] + [
        (name, [*CALL, *_CHOICES]) for name in choices
    ]:
        if name not in names:
            hint = did_you_mean(name, names) or f"; there are {', '.join(names)}."
            raise UsageError(f"the cases of a law have no {name!r}{hint}")
    return limits


#: What a target's constructor allows, and not a law.
_OF_TARGETS = ("only", "one_width", "calls")


def _is_chosen(call: Call, choices: Sequence[str], *, bidirectional: bool) -> bool:
    """Whether a call is plain but for what a law chooses, and both ways if it has to be."""
    plain = (*_PLAIN_CALL[0][:-1], bidirectional)
    return all(
        value == default or (name in choices and not (bidirectional and name == CALL[-1]))
        for name, value, default in zip(CALL, call, plain, strict=True)
    )


def _has_rows(call: Call, min_batch: int, max_batch: int) -> bool:
    """Whether a call can be made with the numbers of rows that a law wants."""
    if call[0] == "unbatched":
        return min_batch <= 1 <= max_batch
    return call[0] == "plain" or max_batch > 0
