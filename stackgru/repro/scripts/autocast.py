"""Scripts of autocast: a step, and its gradients, compared with nn.GRU's without it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch

from stackgru.bounds import backward, rounding
from stackgru.bounds.rounding import Bounded
from stackgru.laws.helpers.autograd import by_name, network_for
from stackgru.laws.magnitudes import autocast_dtype
from stackgru.laws.magnitudes import cast as autocast_to
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.repro.scripts.tapes import differentiated_text, own_text, right_text
from stackgru.targets.weights import DirectWeights


def autocast(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step under autocast, then its gradients."""
    yield from _results(context)
    yield from _gradients(context)


def _results(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step's dtypes and states."""
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


def _gradients(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step's gradients."""
    pair, to = context.pair(), autocast_dtype(context.case)
    one = "x[0]" if context.is_cell else "x[:1]"
    ones = torch.ones_like(pair.h0)
    network = replace(network_for(pair, None), dtype=to)
    found = backward.gradients(network, ones, pair.shown(ones))
    loss = "(output.sum() + hn.sum())"
    for name, bound in by_name(found.input, found.h0, found.layers).items():
        is_input = name in ("input", "h0")
        if not is_input and type(pair.weights) is not DirectWeights:
            continue
        yield Candidate(
            (
                *[f"{own_text(name)}.requires_grad_()"] * is_input,
                f'with torch.autocast("cpu", dtype={to}):',
                f"    output, hn = target({one}, h0)",
                *differentiated_text("observed", loss, own_text(name), "target", twice=False),
                "output, hn = reference(x[:1], h0)  # without autocast",
                *differentiated_text("expected", loss, right_text(name), "reference", twice=False),
            ),
            float(2.01 * bound.error.max()),
        )
