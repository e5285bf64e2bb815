"""Scripts of any law: target and nn.GRU on the same weights, input, state and seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.cases.tensors import numbers_of, with_numbers
from stackgru.harness.masks import ORDERS, TIME_ORDER, Recorder, arrange, flat
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import expected, layer_masks
from stackgru.outcomes import NO_EXCEPTION, Violated
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt, own_build

#: How often a call is repeated that differs only now and then.
OFTEN = 1000


def plain(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a run of both from the same seed, for each result that differs."""
    pair = context.pair()
    drops = pair.case.drops and pair.case.seq_len > 1
    ways = [(True, drops)] if context.is_cell else [(False, False), (True, True)]
    ways = ways if pair.is_carried else ways[:1]
    for target_by_steps, reference_by_steps in ways:
        reference, masks = reference_run(pair, by_steps=reference_by_steps)
        pair.seed()
        run = pair.steps() if target_by_steps else pair.run()
        bound = expected(pair, masks)
        for part, name in ((run.outputs, "outputs"), (run.hn, "hn")):
            allowed = apart(part, getattr(reference, name), getattr(bound, name))
            if allowed is not None:
                texts = [
                    by_steps(context, "observed", context.called, name)
                    if target_by_steps
                    else [f"{unpacked('observed', name)} = {context.run()}"],
                    by_steps(context, "expected", "reference", name)
                    if reference_by_steps
                    else [f"{unpacked('expected', name)} = reference(x, h0)"],
                ]
                last = target_by_steps and not reference_by_steps and name == "outputs"
                if last and pair.case.seq_len == 1:
                    texts[1] = ["(expected,), _ = reference(x, h0)"]
                elif last:
                    texts[1] = ["outputs, _ = reference(x, h0)", "expected = outputs[-1]"]
                yield Candidate((*context.seeded(*texts[0]), *context.seeded(*texts[1])), allowed)


def local(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the first layer whose new state does not follow the equation, from the target's values.

    A bound carried through layers and steps hides small errors of one of them; in half precision it
    allows anything.
    """
    pair, case = context.pair(), context.case
    if (case.drops and case.seq_len > 1) or not pair.shows_layers:
        return
    _, masks = reference_run(pair, by_steps=False)
    pair.seed()
    run = pair.steps()
    assert run.states is not None  # noqa: S101 - run by steps
    before = torch.cat([pair.h0[None], run.states[:-1]])
    for step, states in enumerate(run.states):
        below = Bounded.exact(pair.input[step])
        for layer, weights in enumerate(pair.layers):
            old = Bounded.exact(before[step, layer])
            new = rounding.layer(below, old, weights, case.torch_dtype)
            errors = rounding.allowed(new, case.torch_dtype)
            difference = (states[layer].double() - new.value).abs()
            wrong = (~(difference <= errors) & errors.isfinite()).nonzero().tolist()
            if wrong:
                row, unit = wrong[0]
                yield _layer(context, step, (layer, row, unit), float(errors[row, unit]))
                return
            below = Bounded.rounded(states[layer])
            if masks is not None and layer < case.num_layers - 1:
                below = rounding.dropped(
                    below, masks[layer, step], case.dropout_scale, case.torch_dtype
                )


def changed(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the plain comparison with the numbers of the law's last call, if it changes them."""
    pair, numbers = context.pair(), numbers_of(context.case)
    last: dict[str, list[float]] = {}
    run = pair.run

    def noted(input: Tensor | None = None, h0: Tensor | None = None) -> Run:
        given = {"input": pair.input if input is None else input}
        given["h0"] = pair.h0 if h0 is None else h0
        for layer, weights in enumerate(pair.layers):
            given |= {f"{name} {layer}": value for name, value in weights.items()}
        last.update({name: value.detach().flatten().tolist() for name, value in given.items()})
        return run(input, h0)

    pair.run = noted  # type: ignore[method-assign]
    with contextlib.suppress(Violated):
        context.law.check(pair)
    new = {name: flat for name, flat in last.items() if tuple(flat) != numbers.get(name)}
    case = with_numbers(context.case, {**dict(context.case.numbers), **new})
    for source in (plain, local) if new else ():
        for candidate in source(replace(context, case=case)):
            yield replace(candidate, case=case)


def rarely(context: ScriptContext) -> Iterator[Candidate]:
    """Yield one call made again and again, for differences that are seen only now and then."""
    for index in (0, 1):
        yield Candidate(
            (
                *context.seeded(f"expected = {context.run()}[{index}]"),
                f"for _ in range({OFTEN}):  # it does not happen every time",
                *(f"    {line}" for line in context.seeded(f"observed = {context.run()}[{index}]")),
                "    if not torch.equal(observed, expected):",
                "        break",
            )
        )


def _layer(
    context: ScriptContext, step: int, place: tuple[int, int, int], allowed: float
) -> Candidate:
    """Return a candidate that compares one layer's new state with its equation in float64."""
    case = context.case
    layer, row, unit = place
    size = case.hidden_size
    x = f"x[{step}]" if context.is_cell else f"x[{step}:{step + 1}]"
    width = size if layer else case.input_size
    bias = "" if case.bias else ", bias=False"
    below = f"hn[{layer - 1}]" if layer else f"x[{step}]"
    key = f'f"{{name}}_l{layer}"'
    drawn, earlier = [], []
    if case.dropout_scale == 0 and layer:
        below = f"torch.zeros_like({below})"
    elif case.drops and layer:
        below = f"(masks[{layer - 1}] * {below})"
        ones = f"torch.ones({case.batch}, {size}, dtype=torch.{case.dtype})"
        drawn = context.seeded(
            f"ones = {ones}",
            f"masks = [nn.functional.dropout(ones, {case.dropout!r}) for _ in "
            f"range({case.num_layers - 1})]  # as nn.GRU draws them",
        )
    if step:
        one = "step" if context.is_cell else "step[None]"
        earlier = [f"for step in x[:{step}]:", f"    _, h0 = {context.called}({one}, h0)"]
    return Candidate(
        (
            f"layer = nn.GRUCell({width}, {size}{bias}).double()  # layer {layer}, in float64",
            f"right = {{name: getattr(reference, {key}) for name in layer.state_dict()}}",
            "layer.load_state_dict(right)",
            *earlier,
            *drawn,
            *context.seeded(f"_, hn = {context.called}({x}, h0)"),
            f"observed = hn[{layer}, {row}, {unit}].double()",
            f"expected = layer({below}.double(), h0[{layer}].double())[{row}, {unit}]",
        ),
        allowed,
    )


def apart(actual: Tensor, right: Tensor, bound: Bounded) -> float | None:
    """Return the difference allowed between two correct results if these two differ by more.

    Args:
        actual: the target's result.
        right: nn.GRU's result.
        bound: holds the bound of one implementation.
    """
    allowed = float(2 * bound.error.max()) if bound.error.numel() else 0.0
    difference = (actual.double() - right.double()).abs()
    difference = torch.where(actual.isnan() & right.isnan(), 0.0, difference)
    within = bool((difference <= allowed).all())
    return None if within or allowed == float("inf") else allowed


def reference_run(pair: Pair, *, by_steps: bool) -> tuple[Run, Tensor | None]:
    """Run nn.GRU from the case's seed, in one call or step by step, as a cell draws its masks."""
    pair.seed()
    with Recorder() as recorder, torch.no_grad():
        if not by_steps:
            run = pair.run_reference()
        else:
            outputs, state = [], pair.h0
            for x in pair.input:
                output, state = pair.reference(x[None], state)
                outputs.append(output)
            run = Run(torch.cat(outputs), state)
    if not by_steps or not pair.case.drops:
        return run, layer_masks(pair, recorder)
    shape = pair.case.masks_shape
    order = ORDERS[TIME_ORDER](torch.arange(torch.Size(shape).numel()).reshape(shape))
    return run, arrange(flat(recorder.draws), order, shape)


def unpacked(name: str, part: str) -> str:
    """Return the text that unpacks output and hn, and keeps one of them."""
    return f"{name}, _" if part == "outputs" else f"_, {name}"


def by_steps(context: ScriptContext, name: str, module: str, part: str) -> list[str]:
    """Return lines that call a module step by step, and assign its last output or state."""
    is_cell = context.is_cell and module != "reference"
    if context.case.seq_len == 1:
        x, result = ("x[0]", name) if is_cell else ("x", f"({name},)")
        unpacked = f"{result}, _" if part == "outputs" else f"_, {name}"
        return [f"{unpacked} = {module}({x}, h0)"]
    x, result = ("step", name) if is_cell else ("step[None]", f"({name},)")
    if part == "hn":
        return [f"{name} = h0", "for step in x:", f"    _, {name} = {module}({x}, {name})"]
    return ["state = h0", "for step in x:", f"    {result}, state = {module}({x}, state)"]


def calls(context: ScriptContext) -> Iterator[Candidate]:
    """Yield shapes and dtypes of the results, or the error raised, compared with nn.GRU's."""
    case = context.case
    dtype = f"torch.{case.dtype}"
    rows = (case.batch, case.directions * case.hidden_size)
    one = context.is_cell and case.seq_len == 1
    shapes = [rows if one else (case.seq_len, *rows), case.state_shape]
    expected_text = ", ".join(f"({shape}, {dtype})" for shape in shapes)
    yield Candidate(
        (
            *attempt(
                "[(tuple(result.shape), result.dtype) for result in results]",
                *context.seeded(f"results = {context.run()}"),
                caught="BaseException" if NO_EXCEPTION in context.message else "Exception",
            ),
            f"expected = [{expected_text}]  # output and hn",
        ),
        allowed=None,
    )
    if case.lengths:
        lengths = f"torch.tensor([{case.lengths.replace(',', ', ')}])"
        how = f"enforce_sorted={case.form == 'packed-sorted'}"
        yield Candidate(
            (
                f"rows = pack_padded_sequence(x, {lengths}, {how})",
                *context.seeded("observed = tuple(target(rows, h0)[0].data.shape)"),
                *context.seeded("expected = tuple(reference(rows, h0)[0].data.shape)"),
            ),
            allowed=None,
            imports=("torch.nn.utils.rnn pack_padded_sequence",),
        )


def shapes(context: ScriptContext) -> Candidate:
    """Return the shapes of the parameters, of a target that cannot be given a case's weights."""
    case = context.case
    sizes = f"{case.input_size}, {case.hidden_size}, {case.num_layers}"
    options = f"bias={case.bias}, bidirectional={case.bidirectional}"
    return Candidate(
        (
            *attempt(
                "[tuple(parameter.shape) for parameter in target.parameters()]",
                f"target = {own_build()}",
            ),
            f"right = nn.GRU({sizes}, {options})",
            "expected = [tuple(parameter.shape) for parameter in right.parameters()]",
        ),
        allowed=None,
        builds=False,
    )


def refused_dtypes(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a call in each dtype that nn.GRU supports and the target does not."""
    for dtype in dict(context.target.refused_dtypes):
        case = replace(context.case, dtype=dtype)
        for candidate in calls(replace(context, case=case)):
            yield replace(candidate, case=case)
