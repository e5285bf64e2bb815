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
from stackgru.repro.scripts.plain import reference_run
from stackgru.repro.scripts.tapes import differentiated_text, own_text, right_text
from stackgru.targets.weights import DirectWeights


def autocast(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step under autocast, then its gradients."""
    yield from _results(context)
    yield from _gradients(context)


def _results(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a step's dtypes and states."""
    pair, case = context.pair(), context.case
    to, scale = autocast_dtype(case), case.dropout_scale
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
    _, masks = reference_run(pair, by_steps=False)
    below, below_plain = autocast_to(Bounded.exact(pair.input[0]), to), Bounded.exact(pair.input[0])
    for layer, weights in enumerate(pair.layers):
        before = Bounded.exact(pair.h0[layer])
        new = rounding.layer(below, autocast_to(before, to), weights, to)
        plain = rounding.layer(below_plain, before, weights, torch.float32)
        errors = rounding.allowed(new, to) + rounding.allowed(plain, torch.float32)
        for row, unit in itertools.product(range(case.batch), range(case.hidden_size)):
            place = f"[{layer}, {row}, {unit}]"
            lines = (
                *context.seeded(under, f"    _, hn = target({one}, h0)"),
                f"observed = hn{place}.float()",
                *context.seeded(f"expected = reference(x[:1], h0)[1]{place}  # without autocast"),
            )
            yield Candidate(lines, float(errors[row, unit]))
        below, below_plain = autocast_to(new, to), plain
        if masks is not None and layer < case.num_layers - 1:
            below = rounding.dropped(below, masks[layer, 0], scale, to)
            below_plain = rounding.dropped(plain, masks[layer, 0], scale, torch.float32)


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
                *context.seeded(
                    f'with torch.autocast("cpu", dtype={to}):',
                    f"    output, hn = target({one}, h0)",
                ),
                *differentiated_text("observed", loss, own_text(name), "target", twice=False),
                *context.seeded("output, hn = reference(x[:1], h0)  # without autocast"),
                *differentiated_text("expected", loss, right_text(name), "reference", twice=False),
            ),
            float(2.01 * bound.error.max()),
        )
