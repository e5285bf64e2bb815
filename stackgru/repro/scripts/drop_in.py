"""Scripts of drop-in: the target built, called and loaded as nn.GRU is, beside nn.GRU."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from stackgru.harness.reference import expected
from stackgru.laws.drop_in import ways_to_call
from stackgru.repro.scripts.context import OWN_CLASS, Candidate, ScriptContext, attempt


def drop_in(context: ScriptContext) -> Iterator[Candidate]:
    """Yield what each way to build, call and load gives, compared with nn.GRU's."""
    case = context.case
    shapes = "[(str(one.dtype), tuple(one.shape)) for one in module.parameters()]"
    results = "[tuple(one.shape) for one in module(x)]"
    for arguments in _ways_to_build(context):
        cast = "" if "dtype" in arguments or case.dtype == "float32" else f".to(torch.{case.dtype})"
        own, right = (f"{one}({arguments}){cast}" for one in (OWN_CLASS, "nn.GRU"))
        for seen in (shapes, results):
            yield Candidate(
                (*attempt(seen, f"module = {own}"), f"module = {right}", f"expected = {seen}"),
                allowed=None,
                builds=False,
            )
    pair = context.pair()
    error = float(2 * expected(pair, None).outputs.error.max())
    for call in ways_to_call(pair.input, pair.h0):
        text = re.sub(r"\binput\b(?!=)", "x", call)
        seen = f"[tuple(one.shape) for one in {{}}({text})]"
        yield Candidate(
            (*attempt(seen.format("target")), f"expected = {seen.format('reference')}"),
            allowed=None,
        )
        values = f"observed, _ = target({text})", f"expected, _ = reference({text})"
        yield Candidate(values, error)
    yield Candidate(
        ("observed = list(target.state_dict())", "expected = list(reference.state_dict())"),
        allowed=None,
    )
    yield Candidate(
        (
            *attempt('"loads"', "target.load_state_dict(reference.state_dict())"),
            'expected = "loads"',
        ),
        allowed=None,
    )


def _ways_to_build(context: ScriptContext) -> Iterator[str]:
    """Yield the text of each way's arguments."""
    case = context.case
    sizes = f"{case.input_size}, {case.hidden_size}"
    for batch_first in (False, True):
        values = [case.num_layers, case.bias, batch_first, case.dropout, False]
        yield ", ".join([sizes, *map(repr, values)])
    for option in ("", ", batch_first=True", f", dtype=torch.{case.dtype}", ', device="cpu"'):
        yield (
            f"input_size={case.input_size}, hidden_size={case.hidden_size}, "
            f"num_layers={case.num_layers}, bias={case.bias}, dropout={case.dropout}{option}"
        )
    yield sizes


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {"drop-in": drop_in}
