"""Scripts of values: target and nn.GRU on the same weights, input and state."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from stackgru.bounds import backward, rounding
from stackgru.bounds.rounding import Bounded
from stackgru.harness.reference import expected
from stackgru.laws.helpers.autograd import network_for
from stackgru.laws.magnitudes import autocast_dtype
from stackgru.laws.magnitudes import cast as autocast_to
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt
from stackgru.repro.scripts.plain import calls, plain, reference_run, unpacked


def hn_is_last(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the last output, compared with the last layer's state."""
    last = "output" if context.is_cell and context.case.seq_len == 1 else "output[-1]"
    yield Candidate(
        (
            *context.seeded(f"output, hn = {context.run()}"),
            f"observed = {last}",
            "expected = hn[-1]",
        )
    )


def chunks(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a sequence in two pieces, each by a fresh copy, compared with the whole."""
    pair = context.pair()
    k = context.case.split
    bound = expected(pair, None)
    copied = "copy.deepcopy(target)"
    first = context.run(copied, f"x[:{k}]", steps=2)
    second = context.run(copied, f"x[{k}:]", "state", steps=2)
    whole = context.run("target", steps=2)
    for name, error in (("outputs", bound.outputs.error), ("hn", bound.hn.error)):
        part = f"[{k}:]" if name == "outputs" else ""
        lines = (
            f"_, state = {first}",
            f"{unpacked('observed', name)} = {second}",
            f"{unpacked('expected', name)} = {whole}",
            *([f"expected = expected{part}"] if part else []),
        )
        yield Candidate(lines, float(2 * error.max()), imports=("copy",))


def rows(context: ScriptContext) -> Iterator[Candidate]:
    """Yield rows in another order, and single rows, compared with all of them."""
    pair = context.pair()
    batch = context.case.batch
    bound = expected(pair, None)
    alone = sorted({0, batch - 1, context.case.row})
    for some in ([*range(batch)][::-1], *([row] for row in alone)):
        for name, error in (("outputs", bound.outputs.error), ("hn", bound.hn.error)):
            at = (
                "[some]"
                if name == "outputs" and context.is_cell and context.case.seq_len == 1
                else ""
            )
            yield Candidate(
                (
                    f"some = {some}  # rows",
                    f"{unpacked('expected', name)} = {context.run()}",
                    f"expected = expected{at or '[:, some]'}",
                    f"{unpacked('observed', name)} = "
                    f"{context.run(x='x[:, some]', h0='h0[:, some]')}",
                ),
                float(2 * error.max()),
            )


def causal(context: ScriptContext) -> Iterator[Candidate]:
    """Yield earlier outputs with and without a change of later inputs."""
    k = context.case.split
    yield Candidate(
        (
            f"expected = {context.run()}[0][:{k}]",
            f"later = torch.cat([x[:{k}], x[{k}:] + 1])",
            f"observed = {context.run(x='later')}[0][:{k}]",
        )
    )


def default_state(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a call without a state, also after another call, compared with nn.GRU's."""
    pair = context.pair()
    zeros = torch.zeros_like(pair.h0)
    x = "x[0]" if context.is_cell else "x[:1]"
    first = pair.input[:1]
    bound = expected(pair, None, input=first, h0=zeros)
    for before in ((), (context.run(),)):
        for name, error in (("outputs", bound.outputs.error), ("hn", bound.hn.error)):
            one = "(expected,), _" if name == "outputs" and context.is_cell else ""
            lines = (
                *before,
                f"{unpacked('observed', name)} = target({x})",
                f"{one or unpacked('expected', name)} = reference(x[:1])",
            )
            yield Candidate(lines, float(2 * error.max()))
    dtype, rows = f"torch.{context.case.dtype}", (context.case.batch, context.case.hidden_size)
    shapes = [rows if context.is_cell else (1, *rows), (context.case.num_layers, *rows)]
    yield Candidate(
        (
            *attempt(
                "[(tuple(result.shape), result.dtype) for result in results]",
                f"results = target({x})",
            ),
            f"expected = [{', '.join(f'({shape}, {dtype})' for shape in shapes)}]",
        ),
        allowed=None,
    )


def magnitudes(context: ScriptContext) -> Iterator[Candidate]:
    """Yield where results are finite if one number of the input or a state is not."""
    yield from plain(context)
    pair = context.pair()
    if not pair.full_precision or not context.case.not_finite:
        return
    value, name, at = context.case.place_not_finite
    x, steps = "x", context.case.seq_len
    if (value, name) == ("inf", "h0") and steps > 1:
        x, steps = "x[:1]", 1
    for part in ("outputs", "hn"):
        one = context.is_cell and steps == 1 and part == "outputs"
        results = unpacked("results", part)
        run = context.run(x=x, steps=steps)
        yield Candidate(
            (
                f'{name.replace("input", "x")}[{", ".join(map(str, at))}] = float("{value}")',
                *attempt("results.isfinite().tolist()", f"{results} = {run}"),
                ("(results,), _" if one else results) + f" = reference({x}, h0)",
                "expected = results.isfinite().tolist()",
            ),
            allowed=None,
        )


def dtypes(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a run under another default dtype."""
    other = "float32" if context.case.dtype == "float64" else "float64"
    change = f"torch.set_default_dtype(torch.{other})"
    for candidate in calls(context):
        yield replace(candidate, lines=(change, *candidate.lines))
    yield from plain(context)
    pair = context.pair()
    with torch.no_grad():
        bound = expected(pair, reference_run(pair, by_steps=False)[1])
    for name, error in (("outputs", bound.outputs.error), ("hn", bound.hn.error)):
        lines = (
            *context.seeded(f"{unpacked('expected', name)} = {context.run()}"),
            change,
            *context.seeded(f"{unpacked('observed', name)} = {context.run()}"),
        )
        yield Candidate(lines, float(2 * error.max()))


def autocast(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step under autocast, and its gradients, compared with nn.GRU's."""
    pair, case = context.pair(), context.case
    to = autocast_dtype(case)
    weights, x, before = pair.layers[0], pair.input[0], pair.h0[0]
    below, state = autocast_to(Bounded.exact(x), to), autocast_to(Bounded.exact(before), to)
    new = rounding.layer(below, state, weights, to)
    plain = rounding.layer(Bounded.exact(x), Bounded.exact(before), weights, torch.float32)
    errors = rounding.allowed(new, to) + rounding.allowed(plain, torch.float32)
    one = "x[0]" if context.is_cell else "x[:1]"
    under = f'with torch.no_grad(), torch.autocast("cpu", dtype={to}):'
    yield Candidate(
        (
            under,
            f"    observed = [result.dtype for result in target({one}, h0)]",
            "    expected = [result.dtype for result in reference(x[:1], h0)]",
        ),
        allowed=None,
    )
    for row, unit in itertools.product(range(case.batch), range(case.hidden_size)):
        place = f"[0, {row}, {unit}]"
        lines = (
            under,
            f"    _, hn = target({one}, h0)",
            f"observed = hn{place}.float()",
            f"expected = reference(x[:1], h0)[1]{place}  # without autocast",
        )
        yield Candidate(lines, float(errors[row, unit]))


def autocast_gradients(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step's gradients under autocast, compared with nn.GRU's without it."""
    pair, to = context.pair(), autocast_dtype(context.case)
    one = "x[0]" if context.is_cell else "x[:1]"
    ones = torch.ones_like(pair.h0)
    network = replace(network_for(pair, None), dtype=to)
    found = backward.gradients(network, ones, pair.shown(ones))
    for leaf, bound in (("x", found.input), ("h0", found.h0)):
        of_leaf = (
            f"{leaf}.requires_grad_()",
            f'with torch.autocast("cpu", dtype={to}):',
            f"    output, hn = target({one}, h0)",
            f"(observed,) = torch.autograd.grad(output.sum() + hn.sum(), {leaf})",
            "output, hn = reference(x[:1], h0)  # without autocast",
            f"(expected,) = torch.autograd.grad(output.sum() + hn.sum(), {leaf})",
        )
        yield Candidate(of_leaf, float(2.01 * bound.error.max()))


def empty_batch(context: ScriptContext) -> Iterator[Candidate]:
    """Yield shapes of an empty batch, and a backward pass through it."""
    yield from calls(context)
    yield Candidate(
        (
            "x.requires_grad_()",
            *attempt(
                "[grad is not None and bool(grad.any()) for grad in grads]",
                f"output, hn = {context.run()}",
                "(output.sum() + hn.sum()).backward()",
                "grads = [parameter.grad for parameter in target.parameters()]",
            ),
            "expected = [False for _ in target.parameters()]  # no gradients other than zeros",
        ),
        allowed=None,
    )


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {
    "hn-is-last": hn_is_last,
    "chunks": chunks,
    "rows": rows,
    "causal": causal,
    "default-state": default_state,
    "magnitudes": magnitudes,
    "dtypes": dtypes,
    "autocast": autocast,
    "autocast-gradients": autocast_gradients,
    "empty-batch": empty_batch,
}
