"""In which ways a target can be called, found out once: laws are tried in those.

The laws of layouts say what it refuses, and judge what it gives.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from stackgru.cases.case import Case
from stackgru.cases.strategies import CALL, EVERY_CALL, Call
from stackgru.harness.pair import Pair
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import Target

_PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=2, seq_len=3)


@functools.lru_cache(maxsize=64)
def possible_calls(target: Target) -> tuple[Call, ...]:
    """Return the ways to call a target that its convention and constructor leave."""
    convention = target.convention
    as_gru = not replace(convention, batch_first=False).needs_adapter
    is_sequence = target.kind == "sequence" and as_gru
    possible = (
        is_sequence,
        target.takes_no_state and not convention.needs_adapter,
        is_sequence and "batch_first" in target.options and not convention.batch_first,
        is_sequence and "bidirectional" in target.options,
    )
    return tuple(call for call in EVERY_CALL if all(map(_fits, call, EVERY_CALL[0], possible)))


def _fits(value: object, plain: object, is_possible: bool) -> bool:
    return is_possible or value == plain


@functools.lru_cache(maxsize=64)
def accepted_calls(target: Target) -> tuple[Call, ...]:
    """Return the ways in which a target gives results of nn.GRU's shapes; the plain one is one."""
    plain, *others = possible_calls(target)
    return (plain, *(call for call in others if _is_accepted(target, call)))


def _is_accepted(target: Target, call: Call) -> bool:
    """Whether a call gives results of nn.GRU's shapes in a small case."""
    dtype = "float32" if "float64" in dict(target.refused_dtypes) else "float64"
    fields: dict[str, Any] = dict(zip(CALL, call, strict=True))
    case = replace(target.fitted(_PROBE), dtype=dtype, **fields)
    if case.form == "unbatched":
        case = replace(case, batch=1)
    try:
        pair = Pair(target, case)
        pair.run()
    except (Violated, NotApplicable):
        return False
    return pair.refused is None
