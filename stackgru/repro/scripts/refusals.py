"""Scripts of refusals: arguments that the target accepts and nn.GRU refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from stackgru.cases.case import Case
from stackgru.laws.refusals import REFUSED_OPTIONS, SIZES, builds
from stackgru.repro.scripts.context import Candidate, ScriptContext, own_build


def refusals(context: ScriptContext) -> Iterator[Candidate]:
    """Yield whether the target and nn.GRU accept each wrong argument."""
    pair, case = context.pair(), context.case
    for options in REFUSED_OPTIONS:
        known = set(options) & (pair.target.accepts | SIZES)
        if known and not builds(pair, nn.GRU, options):
            sizes = f"{case.input_size}, {case.hidden_size}, {case.num_layers}"
            name, value = next(iter(options.items()))
            given = {"input_size": 0, "hidden_size": 1, "num_layers": 2}
            if name in given:
                parts = sizes.split(", ")
                parts[given[name]] = repr(value)
                right = f"nn.GRU({', '.join(parts)})"
            else:
                right = f"nn.GRU({sizes}, {name}={value!r})"
            yield Candidate(
                (
                    "outcomes = []",
                    f"for build in (lambda: {own_build(**options)}, lambda: {right}):",
                    "    try:",
                    "        build()",
                    '        outcomes.append("is built")',
                    "    except Exception:",
                    '        outcomes.append("refuses")',
                    "observed, expected = outcomes",
                ),
                allowed=None,
                builds=False,
            )
    for x, h0 in _wrong(case):
        own = f"({x})[0]" if context.is_cell else x
        yield Candidate(
            (
                "outcomes = []",
                f"for module, wrong in ((target, {own}), (reference, {x})):",
                "    try:",
                f"        module(wrong, {h0})",
                '        outcomes.append("takes it")',
                "    except Exception:",
                '        outcomes.append("refuses it")',
                "observed, expected = outcomes",
            ),
            allowed=None,
        )


def _wrong(case: Case) -> Iterator[tuple[str, str]]:
    """Yield the texts of an input (T, B, I) and a state, one of them wrong."""
    other = "torch.float32" if case.dtype == "float64" else "torch.float64"
    yield "torch.cat([x, x[..., :1]], -1)", "h0"
    yield "x[..., 1:]", "h0"
    yield "x", "torch.cat([h0, h0[..., :1]], -1)"
    yield "x", "h0[..., 1:]"
    yield "x", "torch.cat([h0, h0[:1]])"
    yield "x", "h0[:-1]"
    yield "x", "torch.cat([h0, h0[:, :1]], 1)"
    yield "x", f"h0[:, :1].repeat(1, {1 + (case.batch == 1)}, 1)"
    yield "x[:, 0]", "h0"
    yield "x.unsqueeze(1)", "h0"
    yield "x", "h0[:, 0]"
    yield "x", "h0.unsqueeze(1)"
    yield f"x.to({other})", "h0"
    yield "x", f"h0.to({other})"
    yield f"x.to({other})", f"h0.to({other})"
    yield "x.long()", "h0"
    yield "x[:0]", "h0"


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {"refusals": refusals}
