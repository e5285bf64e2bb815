"""Scripts of layouts: batch first, unbatched, packed and bidirectional, compared with nn.GRU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from stackgru.gru.parameters import PARAMETERS, Layer
from stackgru.harness.reference import expected
from stackgru.laws.layouts import both_ways
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt


def layouts(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the target in the layout of the case, compared with nn.GRU in it."""
    case = context.case
    bound = expected(context.pair(), None)
    errors = float(2 * bound.outputs.error.max()), float(2 * bound.hn.error.max())
    options = (("batch_first", True),) if case.batch_first else ()
    if case.form == "plain":
        yield from _called(["x = x.transpose(0, 1)"], "x", "h0", errors, options)
    elif case.form == "unbatched":
        yield from _called([], "x[:, 0]", "h0[:, 0]", errors, options)
    else:
        yield from _packed(context, errors, options)


def bidirectional(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the bidirectional target, compared with nn.GRU, with weights and a state of its own."""
    case = context.case
    options = (("bidirectional", True),)
    shape = f"{2 * case.num_layers}, {case.batch}, {case.hidden_size}"
    state = [f"h0 = torch.randn({shape}, dtype=torch.{case.dtype})"]
    if case.mode == "train":
        state.append("target.eval(), reference.eval()")
    error = _bound(context)
    names = _own_names(context)
    own = "target.parameters()" if names is None else "map(target.get_parameter, names)"
    weights = (
        "torch.manual_seed(0)",
        *([] if names is None else [f"names = {names!r}"]),
        "with torch.no_grad():",
        f"    for right, own in zip(reference.parameters(), {own}):",
        "        own.copy_(right.uniform_(-1, 1))",
    )
    packed = [] if case.form == "plain" else _packed(context, (error, error), options, state)
    for candidate in (*_called(state, "x", "h0", (error, error), options), *packed):
        yield Candidate(
            candidate.lines, candidate.allowed, candidate.imports, options=options, weights=weights
        )


def _called(
    first: Sequence[str],
    x: str,
    h0: str,
    errors: tuple[float, float],
    options: tuple[tuple[str, object], ...],
) -> Iterator[Candidate]:
    """Yield shapes and values of output and hn."""
    yield Candidate(
        (
            *first,
            *attempt(f"[tuple(result.shape) for result in target({x}, {h0})]"),
            f"expected = [tuple(result.shape) for result in reference({x}, {h0})]",
        ),
        allowed=None,
        options=options,
    )
    for part, error in zip(("{}, _", "_, {}"), errors, strict=True):
        yield Candidate(
            (
                *first,
                f"{part.format('observed')} = target({x}, {h0})",
                f"{part.format('expected')} = reference({x}, {h0})",
            ),
            error,
            options=options,
        )


def _packed(
    context: ScriptContext,
    errors: tuple[float, float],
    options: tuple[tuple[str, object], ...],
    state: Sequence[str] = (),
) -> Iterator[Candidate]:
    is_sorted = context.case.form == "packed-sorted"
    first = (
        *state,
        f"lengths = torch.tensor({context.case.row_lengths})",
        f"packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted={is_sorted})",
    )
    yield Candidate(
        (
            *first,
            *attempt(
                "[type(output).__name__, hn.dtype, tuple(hn.shape)]",
                "output, hn = target(packed, h0)",
            ),
            "output, hn = reference(packed, h0)",
            "expected = [type(output).__name__, hn.dtype, tuple(hn.shape)]",
        ),
        allowed=None,
        options=options,
    )
    yield Candidate(
        (
            *first,
            "observed = [str(part) for part in target(packed, h0)[0][1:]]",
            "expected = [str(part) for part in reference(packed, h0)[0][1:]]  # its indices",
        ),
        allowed=None,
        options=options,
    )
    for index, data, error in ((0, ".data", errors[0]), (1, "", errors[1])):
        yield Candidate(
            (
                *first,
                f"observed = target(packed, h0)[{index}]{data}",
                f"expected = reference(packed, h0)[{index}]{data}",
            ),
            error,
            options=options,
        )


def _layers_both_ways(gru: nn.GRU) -> list[Layer]:
    names = PARAMETERS if gru.bias else PARAMETERS[:2]
    return [
        {name: getattr(gru, f"{name}_l{layer}{way}").detach() for name in names}
        for layer in range(gru.num_layers)
        for way in ("", "_reverse")
    ]


def _bound(context: ScriptContext) -> float:
    """Return the bound for the weights and the state that the script draws."""
    pair, case = context.pair(), context.case
    gru = nn.GRU(
        case.input_size,
        case.hidden_size,
        case.num_layers,
        bias=pair.reference.bias,
        bidirectional=True,
        dtype=case.torch_dtype,
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.uniform_(-1, 1)
    shape = 2 * case.num_layers, case.batch, case.hidden_size
    h0 = torch.randn(shape, dtype=case.torch_dtype)
    found = both_ways(_layers_both_ways(gru), pair.input, h0, case.torch_dtype)
    return float(2 * max(found.outputs.error.max(), found.hn.error.max()))


def _own_names(context: ScriptContext) -> list[str] | None:
    """Return the names of the target's parameters in nn.GRU's order; None if it is their own."""
    module = context.target.build(context.case, bidirectional=True)
    layers = context.target.weights(module, context.case, directions=2).layers
    wanted = [layer[name] for layer in layers for name in PARAMETERS if name in layer]
    own = list(module.parameters())
    if len(own) == len(wanted) and all(a is b for a, b in zip(own, wanted, strict=True)):
        return None
    every = list(module.named_parameters(remove_duplicate=False))
    names: list[str] = []
    for value in wanted:
        found = [name for name, parameter in every if parameter is value]
        names.append(next((name for name in found if name not in names), found[0]))
    return names


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {
    "layouts": layouts,
    "bidirectional": bidirectional,
}
