"""Comparisons that laws share: layer by layer, and end to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.cases.tensors import generator
from stackgru.harness.masks import Injector, Recorder
from stackgru.harness.orders import assert_told, orders_of
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import Expected, expected
from stackgru.outcomes import NotApplicable, Violated

OUTPUT = ("step", "row", "unit")
HN = ("layer", "row", "unit")
STATES = ("step", "layer", "row", "unit")

#: A remark on a law that judges rounding.
ANOTHER_EQUATION = "not where its equation is another, whose rounding is unknown"

Result = TypeVar("Result")


def under_masks(
    pair: Pair, masks: Tensor | None, run: Callable[[], Result], compare: Callable[[Result], None]
) -> None:
    """Run the target under nn.GRU's masks, and compare the result.

    Args:
        pair: the pair.
        masks: nn.GRU's, (L - 1, T, B, D H), or None if nothing is dropped.
        run: runs the target; the masks that it draws are replaced.
        compare: raises Violated if the result is wrong.

    Raises:
        Violated: if the comparison fails in every order in which the target may draw its masks.
        NotApplicable: if the target draws random numbers, but not as masks, or its masks in an
            order that cannot be told.
    """
    __tracebackhide__ = True
    in_order: Iterator[Tensor] = iter([torch.ones(0, dtype=torch.bool)])
    if pair.case.drops:
        assert masks is not None  # noqa: S101 - layer_masks raises otherwise
        values = masks.flatten()
        in_order = (values[order] for order in orders_of(pair))
    else:
        pair.seed()
        before = pair.generator_state()
        result = run()
        if torch.equal(pair.generator_state(), before):  # it draws none either
            compare(result)
            return
    violations = []
    for kept in in_order:
        injector, ratio = Injector(kept), pair.ratio
        pair.seed()
        with injector:
            result = run()
        try:
            _assert_complete(pair, injector)
            compare(result)
        except Violated as violation:
            violations.append((injector.complete, violation))
            pair.ratio = ratio
        else:
            return
    if pair.case.drops:
        assert_told(pair)
    # None of the orders fits; show the violation of the nearest.
    raise max(violations, key=lambda item: item[0])[1]


def _assert_complete(pair: Pair, injector: Injector) -> None:
    if injector.complete:
        return
    pair.seed()
    with Recorder() as recorder:
        pair.run()
    if recorder.others and not recorder.draws:
        others = ", ".join(sorted(set(recorder.others)))
        raise NotApplicable(
            f"the target draws random numbers by {others}, not as masks, so they cannot be "
            "replaced by nn.GRU's masks"
        )
    right = masks_of_a_step(pair) if pair.case.drops else "none"
    raise Violated(f"masks drawn by the target: got {listed(injector.shapes)}, expected {right}")


def masks_of_a_step(pair: Pair) -> str:
    """Return which masks nn.GRU draws, in words."""
    gaps, steps, *shape = pair.case.masks_shape
    return f"{tuple(shape)} for each of num_layers - 1 = {gaps} masks in each of {steps} steps"


def listed(shapes: Sequence[tuple[int, ...]]) -> str:
    """Return shapes in words."""
    shown = ", ".join(map(str, shapes[:4]))
    return f"{shown}, ... ({len(shapes)} in all)" if len(shapes) > 4 else shown or "none"


def assert_end_to_end(pair: Pair, run: Run, other: Run, bound: Expected, what: str = "") -> None:
    """Raise a violation if two runs differ by more than the rounding errors of both."""
    __tracebackhide__ = True
    what = what and f"{what}: "
    pair.within(run.outputs, other.outputs, 2 * bound.outputs.error, f"{what}output", OUTPUT)
    pair.within(run.hn, other.hn, 2 * bound.hn.error, f"{what}hn", HN)


def of_itself(pair: Pair, check: Callable[[Pair], None]) -> None:
    """Check a statement about the target alone, whose rounding need not be that of nn.GRU.

    A difference counts if it is above nn.GRU's bound, and the target either computes nn.GRU's
    equation in this case, or does not come closer to itself in a finer dtype: rounding does, by a
    factor of 2**29 from float32 to float64, of which 2**9 are given away.

    Args:
        pair: the pair.
        check: raises Violated if the statement does not hold of a pair.
    """
    __tracebackhide__ = True
    try:
        check(pair)
    except Violated as error:
        found = error.violation
        if found.difference is None or found.allowed is None or is_equation(pair):
            raise
        name = {"float32": "float64", "float64": "float32"}.get(pair.case.dtype)
        if name is None or name in dict(pair.target.refused_dtypes):
            pair.remark = ANOTHER_EQUATION
            return
        other = _difference(Pair(pair.target, replace(pair.case, dtype=name)), check)
        if pair.case.dtype == "float32":
            is_rounding = other <= found.difference * 2.0**-20
        else:
            is_rounding = found.difference <= max(other * 2.0**-20, found.allowed * 2.0**9)
        if not is_rounding:
            raise


def is_equation(pair: Pair) -> bool:
    """Whether the target gives what the equation gives in this case, in eval."""
    try:
        with pair.mode("eval"):
            if pair.shows_states:
                assert_equation(pair, pair.steps())
            else:
                bound = expected(pair, None)
                assert_end_to_end(pair, pair.run(), pair.run_reference(), bound)
    except Violated:
        return False
    return True


def _difference(pair: Pair, check: Callable[[Pair], None]) -> float:
    """Return the difference for which a check fails, 0 if it does not."""
    try:
        check(pair)
    except Violated as error:
        return math.inf if error.violation.difference is None else error.violation.difference
    return 0.0


def assert_equation(
    pair: Pair,
    run: Run,
    masks: Tensor | None = None,
    *,
    input: Tensor | None = None,
    h0: Tensor | None = None,
    what: str = "",
    inside: bool = False,
) -> None:
    """Raise a violation if a layer's new state is not what its own input and state give.

    A state that a target returns may be rounded from the one with which it continues.

    Args:
        pair: the pair.
        run: a run that shows every layer's state after every step.
        masks: the masks that were in force, (L - 1, T, B, H), or None.
        input: what the run got, (T, B, I); the case's if None.
        h0: likewise, (L, B, H).
        what: names the run in the message, if it is not a plain one of the target.
        inside: whether the target carried the states itself, within one call.
    """
    __tracebackhide__ = True
    if not pair.shows_layers:
        bound = expected(pair, masks, input=input, h0=h0)
        outputs, right = run.outputs, bound.outputs
        error = rounding.allowed(right, pair.case.torch_dtype)
        pair.within(outputs, right.value, error, f"{what}: output" if what else "output", OUTPUT)
        return
    assert run.states is not None  # noqa: S101 - only runs by steps come here
    dtype, scale = pair.case.torch_dtype, pair.case.dropout_scale
    h0 = pair.h0 if h0 is None else h0
    before = torch.cat([h0.unsqueeze(0), run.states[:-1]])
    below = Bounded.exact(pair.input if input is None else input)
    layers = []
    for index, weights in enumerate(pair.layers):
        state = Bounded.rounded(before[:, index]) if inside else Bounded.exact(before[:, index])
        layers.append(rounding.layer(below, state, weights, dtype))
        below = Bounded.rounded(run.states[:, index])
        if masks is not None and index < len(pair.layers) - 1:
            below = rounding.dropped(below, masks[index], scale, dtype)
    every = rounding.stacked(layers)
    value, error = every.value.transpose(0, 1), rounding.allowed(every, dtype).transpose(0, 1)
    what = what and f"{what}: "
    pair.within(run.states, value, error, f"{what}new state", STATES)
    pair.within(run.outputs, value[:, -1], error[:, -1], f"{what}output", OUTPUT)


def unroll(
    pair: Pair,
    input: Tensor | None = None,
    h0: Tensor | None = None,
    module: Callable[..., Any] | None = None,
) -> Run:
    """Run on these very tensors in the caller's grad mode, a cell step by step; see Pair.call.

    Args:
        pair: the pair.
        input: (T, B, I); the case's if None.
        h0: (L, B, H); the case's if None.
        module: called in place of the target's module.

    Returns:
        The results as the target gave them, not detached.
    """
    input = pair.input if input is None else input
    state = pair.h0 if h0 is None else h0
    if pair.kind == "sequence":
        return Run(*pair.call(input, state, module=module))
    outputs = []
    for x in input:
        output, state = pair.call(x, state, module=module)
        outputs.append(output)
    return Run(torch.stack(outputs), state)


def other_input(pair: Pair, name: str) -> Tensor:
    """Return other values of the input's shape and dtype, usual in magnitude."""
    return normal(pair, name, pair.input.shape)


def normal(pair: Pair, name: str, shape: Sequence[int]) -> Tensor:
    """Return normal random numbers in the input's dtype, fixed by case and name."""
    numbers = torch.randn(shape, dtype=torch.float64, generator=generator(pair.case, name))
    return numbers.to(pair.input)
