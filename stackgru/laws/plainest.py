"""What is asked of a target in a case of which a law is violated, the plainest first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.autograd import combination, differentiated, noise, thawed_leaves
from stackgru.laws.helpers.values import unroll
from stackgru.laws.registry import Law
from stackgru.options import FULL_PRECISION

#: Laws that compare gradients of a target's with others of its own.
OF_ITS_OWN_GRADIENTS = ("passes", "checkpoint", "hooks")
#: Laws that compare derivatives with nn.GRU's.
OF_DERIVATIVES = (
    *("gradients", "second-derivatives", "frozen", "training", "autocast-gradients", "life"),
)
#: Laws of derivatives, and that which compares them by reverse mode.
BY_REVERSE_MODE = {"forward-mode": "gradients", **{name: name for name in OF_DERIVATIVES}}
#: Laws that compare what torch makes of a target by tracing, or by reading its code, with itself.
OF_TRACED = ("trace", "script", "export", "compile")
#: Laws that call a target several times, each time with an input of its own.
OF_SEVERAL_CALLS = ("training", "life")
#: Laws that call a target in training whatever the mode of their case.
CHANGING_MODES = ("life", "inherited")

#: The steps of numeric derivatives: what these leave out is of the order of the square, and what
#: rounding adds of u over the step, so that they lie apart as far as they are off.
_STEPS = (1e-5, 3e-5, 1e-4)
#: Between the ratio of the steps and its square.
_OF_KINKS = 30
_ROOM = 10
_OFF = 1e-6


def asked_in(case: Case, kind: str, law: Law) -> Iterator[tuple[str, str, Case]]:
    """Yield what is asked: its name, the law that answers, and the case in which it does.

    Args:
        case: the case.
        kind: the target's.
        law: the law that is violated.
    """
    by_steps = kind == "sequence" and case.dtype not in FULL_PRECISION
    if not by_steps:
        yield "values", "unrolled", replace(case, mode="eval")
    else:
        if not case.lengths and not case.bidirectional:
            yield "values", "equation", replace(case, mode="eval")
        yield "values", "unrolled", replace(case, mode="eval", dtype="float32")
    if law.question == "gradients" and not by_steps:
        yield "values", *recorded(case)
    if case.autocast:
        yield "values", "autocast", replace(case, mode="eval", grad="usual")
        cast = replace(case, mode="eval", dtype=case.autocast, autocast="", seq_len=1, split=1)
        yield "values", "equation", replace(cast, form="plain", lengths="")
    if case.not_finite:
        yield "values", "unrolled", replace(case, mode="eval", not_finite="")
    if law.family == "values" and case.form == "plain":  # they also look at parts
        yield "values", "unrolled", replace(case, mode="eval", batch=min(case.batch, 1), row=0)
    if law.without_state and not by_steps:
        yield "values", "unrolled", replace(case, mode="eval", h0="left-out")
    if law.name in OF_SEVERAL_CALLS:  # with numbers of their own
        for more in (1, 2, 3):
            yield "values", "unrolled", replace(case, mode="eval", seed=case.seed ^ more)
    case = replace(case, mode="train") if law.name in CHANGING_MODES else case
    if case.mode == "train":
        yield "masks", "same-masks" if case.drops else "unrolled", case
        one = replace(case, seq_len=1, split=1, lengths=",".join("1" * case.batch))
        for asked in ("one-step", "same-draws"):
            yield "draws", asked, one if case.lengths else replace(one, lengths="")
    else:
        yield "draws in eval", "no-draws", case
    if law.question not in ("gradients", "conduct"):  # what rounds otherwise has another equation
        plain = replace(case, mode="eval", dtype="float64", autocast="", not_finite="")
        plain = replace(plain, weights="usual", input="usual", state="usual")
        plain = replace(plain, hidden_size=max(case.hidden_size, 8))
        yield "usual values", "unrolled", plain
        if case.mode == "train":
            rate = case.dropout if 0 < case.dropout < 1 else 0.5
            several = replace(plain, mode="train", num_layers=4, dropout=rate, batch=4, lengths="")
            yield "usual masks", "same-masks", replace(several, form="plain")
            yield "usual draws", "one-step", replace(several, form="plain", seq_len=1, split=1)
    some = replace(case, batch=max(case.batch, 1))
    yield "gradients", "gradients", some
    parameters = [name for name in case.differentiable if name not in ("input", "h0")]
    yield "gradients", "frozen", replace(some, frozen=",".join(parameters), trained=True)
    if law.question == "gradients":
        twice = replace(some, dtype="float64", autocast="", seq_len=max(case.seq_len, 2))
        yield "gradients", "second-derivatives", replace(twice, form="plain", lengths="")


def unusual(case: Case) -> Iterator[tuple[str, Case]]:
    """Yield what is asked of small errors in a case: the law, and cases in which they are large."""
    one = case.one_way()
    plain = replace(one, mode="eval", not_finite="", form="plain", lengths="", autocast="")
    sizes = ("usual", "large", "tiny"), ("usual", "large", "tiny", "zero"), ("usual", "zero")
    for weights, input, state in itertools.product(*sizes):
        sized = replace(plain, weights=weights, input=input, state=state)
        yield "magnitudes", replace(sized, hidden_size=8, batch=4)


def recorded(case: Case) -> tuple[str, Case]:
    """Return what is asked of values while gradients are recorded: the law and the case."""
    return "unrolled", replace(case, mode="eval", grad="on")


def with_masks(case: Case) -> tuple[str, Case]:
    """Return what is asked of masks, in a case that has some: the law and the case."""
    rate = case.dropout if 0 < case.dropout < 1 else 0.5
    return "same-masks", replace(case, num_layers=max(case.num_layers, 2), dropout=rate)


def differs_from_its_own_derivative(pair: Pair, law: str) -> bool:
    """Whether a target's gradients are not the derivatives of what it computes itself.

    Args:
        pair: a pair in float64.
        law: says how often it is differentiated.
    """
    wanted = thawed_leaves(pair)
    leaves = {"input": pair.input.clone(), "h0": pair.h0.clone(), **pair.weights.leaves}
    for name, leaf in leaves.items():
        leaf.requires_grad_(name in wanted)
    leaves = {name: leaf for name, leaf in leaves.items() if name in wanted}
    directions = {name: noise(pair, name, leaf.shape) for name, leaf in leaves.items()}

    def value() -> Tensor:
        pair.seed()
        outputs, hn, _ = combination(pair)
        run = unroll(pair, leaves.get("input"), leaves.get("h0"))
        return (run.outputs * outputs).sum() + (run.hn * hn).sum()

    def slope() -> Tensor:
        found = differentiated(leaves, [value()], [torch.tensor(1.0).double()], create_graph=True)
        return torch.stack([(found[name] * directions[name]).sum() for name in leaves]).sum()

    function = slope if law == "second-derivatives" else value
    own = differentiated(leaves, [function()], [torch.tensor(1.0).double()])
    for name, leaf in leaves.items():
        if _breaks(function, leaf, directions[name]):  # there it has no derivative
            continue
        exact = float((own[name] * directions[name]).sum())
        found = [_numeric(function, leaf, directions[name], step) for step in _STEPS]
        off = _ROOM * (max(found) - min(found)) + _OFF * (1 + float(own[name].abs().sum()))
        if math.isfinite(found[0]) and not abs(found[0] - exact) <= off:  # which may be NaN
            return True
    return False


def _numeric(
    function: Callable[[], Tensor], leaf: Tensor, direction: Tensor, length: float
) -> float:
    """Return the slope of a function as a leaf moves in a direction."""
    before, after = _values_at(function, leaf, direction, (-length, length))
    return (after - before) / (2 * length)


def _breaks(function: Callable[[], Tensor], leaf: Tensor, direction: Tensor) -> bool:
    """Whether a function jumps, or has a kink, where a leaf is, as it moves in a direction.

    The mean of the values on both sides comes nearer to that between them as the square of the
    step where the function is smooth, as the step at a kink, and not at all where it jumps.
    """
    steps = (0.0, -_STEPS[0], _STEPS[0], -_STEPS[-1], _STEPS[-1])
    here, *around = _values_at(function, leaf, direction, steps)
    near, far = (abs(sum(both) / 2 - here) for both in (around[:2], around[2:]))
    return near / _STEPS[0] > _OFF * (1 + abs(here)) and near > far / _OF_KINKS


def _values_at(
    function: Callable[[], Tensor], leaf: Tensor, direction: Tensor, steps: Sequence[float]
) -> list[float]:
    """Return the values of a function with a leaf moved so far in a direction; put it back."""
    kept, found = leaf.detach().clone(), []
    for step in steps:
        with torch.no_grad():
            leaf.copy_(kept + step * direction)
        found.append(float(function().detach()))
    with torch.no_grad():
        leaf.copy_(kept)
    return found
