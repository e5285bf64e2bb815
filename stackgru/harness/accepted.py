"""Which forms of a call a target accepts, found out once: laws are tried in those.

The laws of layouts say what it refuses, and judge what it gives.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from stackgru.cases.case import FORMS, STATES_GIVEN, Case
from stackgru.harness.pair import Pair
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import Target

_PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=2, seq_len=3)


def accepted_forms(target: Target) -> tuple[str, ...]:
    """Return those of FORMS in which a target can be called and gives results of nn.GRU's shapes."""
    if not is_called_as_gru(target):
        return FORMS[:1]
    return (FORMS[0], *(one for one in FORMS[1:] if _refused(target, form=one) is None))


def accepted_states(target: Target) -> tuple[str, ...]:
    """Return those of STATES_GIVEN with which a target can be called."""
    if not target.takes_no_state or target.convention.needs_adapter:
        return STATES_GIVEN[:1]
    refuses_none = _refused(target, h0="none") is not None
    return STATES_GIVEN[:2] if refuses_none else STATES_GIVEN


def has_option(target: Target, name: str) -> bool:
    """Whether a target can be asked for batch_first or bidirectional, as it is called."""
    is_fixed = name == "batch_first" and target.convention.batch_first
    return name in target.options and is_called_as_gru(target) and not is_fixed


def refused_option(target: Target, name: str) -> str | None:
    """Return why a target is not built with batch_first or bidirectional, or None if it is."""
    if not has_option(target, name):
        return f"the target's constructor has no argument {name}"
    return _refused(target, **{name: True})


def is_called_as_gru(target: Target) -> bool:
    """Whether a target is a sequence that is called as nn.GRU is, but for batch_first."""
    convention = target.convention
    as_gru = replace(convention, batch_first=False)
    return target.kind == "sequence" and not as_gru.needs_adapter


@functools.lru_cache(maxsize=256)
def _refused(target: Target, **fields: Any) -> str | None:
    """Return what is wrong with a call in a small case with these fields; None if nothing is."""
    dtype = "float32" if "float64" in dict(target.refused_dtypes) else "float64"
    case = replace(target.fitted(_PROBE), dtype=dtype, **fields)
    if case.form == "unbatched":
        case = replace(case, batch=1)
    try:
        Pair(target, case).run()
    except (Violated, NotApplicable) as error:
        return str(error)
    return None
