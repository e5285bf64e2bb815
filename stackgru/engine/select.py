"""Which laws are tried, and on which cases."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from stackgru.cases.case import Case
from stackgru.cases.strategies import cases
from stackgru.harness.accepted import accepted_calls, possible_calls
from stackgru.laws.names import selected
from stackgru.laws.registry import Law, all_laws
from stackgru.options import DTYPES, Options
from stackgru.outcomes import NotApplicable
from stackgru.targets.probe import supported_casts, supported_dtypes
from stackgru.targets.target import Target


def domain(law: Law, target: Target, options: Options) -> st.SearchStrategy[Case]:
    """Return the cases on which a law is tried: those that target and options leave.

    Raises:
        NotApplicable: if no case is left; the message is the reason.
    """
    if target.kind not in law.kinds:
        raise NotApplicable(
            f"applies to {law.kinds[0]} modules only; the target is a {target.kind}"
        )
    if law.strict and not options.strict:
        raise NotApplicable("only checked with --strict")
    lacking = law.abilities & target.lacks
    if lacking:
        raise NotApplicable(f"evaluated outside torch, without {' and '.join(sorted(lacking))}")
    if law.without_state and not target.takes_no_state:
        raise NotApplicable("the target cannot be called without a state")
    wanted = [
        dtype for dtype in options.dtypes or DTYPES if dtype in supported_dtypes(target.device)
    ]
    refused = dict(target.refused_dtypes)
    wanted = [dtype for dtype in wanted if dtype not in refused] or wanted
    left, reasons = [], []
    for one in law.domains:
        arguments = dict(one)
        dtypes = [dtype for dtype in wanted if dtype in arguments.get("dtypes", DTYPES)]
        if target.kind not in law.half:
            dtypes = [dtype for dtype in dtypes if dtype in ("float64", "float32")]
        arguments["dtypes"] = dtypes
        reason = _restrict(arguments, target)
        if not dtypes:
            reason = "the law does not apply to the selected dtypes"
        if reason is None:
            drawn = cases(**arguments)
            left.append(drawn.map(target.fitted) if target.convention.flush_to_zero else drawn)
        else:
            reasons.append(reason)
    if not left:
        raise NotApplicable(reasons[0])
    return st.one_of(left)


def _restrict(arguments: dict[str, Any], target: Target) -> str | None:
    """Pin what a target cannot be built with; return why nothing is left, or None."""
    convention = target.convention
    arguments |= {"only": convention.sizes or {}, "one_width": convention.has_one_width}
    if target.rate is not None:
        partial = arguments.get("partial") and not 0 < target.rate < 1
        if partial or arguments.get("dropout") not in (None, target.rate):
            return "the target's constructor takes no dropout"
        arguments["dropout"] = target.rate
    if target.layers is not None:
        fits = arguments.get("num_layers") in (None, target.layers)
        if not fits or arguments.pop("min_layers", 1) > target.layers:
            return "the target's constructor takes no num_layers"
        arguments["num_layers"] = target.layers
    if "empty batches" in target.lacks:
        if arguments.get("max_batch") == 0:
            return "the target does not evaluate empty batches"
        arguments["min_batch"] = max(arguments.get("min_batch", 0), 1)
    if "gradients" in target.lacks and "grad" in arguments.get("choices", ()):
        arguments["choices"] = tuple(one for one in arguments["choices"] if one != "grad")
    if "bias" not in target.accepts:
        arguments["bias"] = True
    if arguments.get("bidirectional") and not any(call[-1] for call in possible_calls(target)):
        return "the target's constructor has no argument bidirectional"
    if "autocast" in arguments.get("choices", ()):
        arguments["casts"] = supported_casts(target.device)
        if not arguments["casts"]:
            return "nn.GRU does not run under autocast on this build"
    # Only the laws of forms try what a target refuses.
    tries_all = arguments.pop("refused", False)
    arguments["calls"] = possible_calls(target) if tries_all else accepted_calls(target)
    return None


def select(options: Options) -> list[Law]:
    """Return the laws that the options ask for, in the catalogue's order; see names.selected."""
    laws = all_laws()
    return [laws[name] for name in selected(options)]
