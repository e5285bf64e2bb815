"""What is wrong at the bottom of a violation, seen in its own case.

A target that computes another equation violates laws of values, masks, gradients and conduct. What
they have in common shows in each one's shrunk case: there the target is asked for what is plainest,
its values in eval, then its values in training, its random numbers, its gradients, and what a call
leaves behind. The first of these that it lacks is the symptom; see stackgru.report.causes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from stackgru.cases.case import Case
from stackgru.diagnosis.explained import Variants, violation_in
from stackgru.laws.registry import all_laws
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violation
from stackgru.targets.target import Target

#: What a call leaves behind is asked for last, law by law.
_CONDUCT = ("purity", "repeatable", "results", "stateless", "nested", "hooks")
#: What a variant of nn.GRU may be wrong in.
_MAYBE_VARIANTS = ("values", "masks", "draws")
_UNDIFFERENTIABLE = re.compile(r"^[\w -]*(derivatives|gradients)[\w -]* raised ")
_DTYPE = re.compile(r"torch\.b?float\d+")
_NUMBER = re.compile(r"[+-]?\d[\d.e+-]*")


def symptom_of(target: Target, violation: Violation, variants: Callable[[], Variants]) -> str:
    """Return the symptom of a violation.

    Args:
        target: the target.
        violation: its violation of a law.
        variants: finds what the target is instead of nn.GRU.

    Returns:
        OF_VARIANTS or OF_DROPOUT of stackgru.outcomes if variants explain it; "values", "masks",
        "draws", "gradients" or a law of conduct's; what was raised, or given in place of a tensor
        like nn.GRU's, without numbers; the law's own name if it has all of these.
    """
    question = all_laws()[violation.law].question if violation.law in all_laws() else ""
    # Laws of gradients differ in what they take gradients of.
    own = _told(violation, "gradients" if question == "gradients" else violation.law)
    if violation.ended_the_process or _raises(violation.message):
        return own
    case, known = Case.parse(violation.case), None
    for name, law, asked in _asked(target, case, of_conduct=question == "conduct"):
        found = _violation_in(target, law, asked)
        if found is None:
            continue
        # How many masks a wrong one draws depends on the case.
        symptom = name if name in ("masks", "draws") else _told(found, name)
        if known is None and symptom in _MAYBE_VARIANTS:
            known = variants()
        explained = _explained(target, found, known) if known and known.names else None
        if known is None or explained is None:
            return symptom
        if not known.can_be_tried(violation.law, case):
            return explained
        own_explained = known.explaining(violation.law, case)
        if own_explained is not None:
            return own_explained
    return own


def _asked(target: Target, case: Case, *, of_conduct: bool) -> Iterator[tuple[str, str, Case]]:
    """Yield what is asked for in a violation's case, the plainest first: its name, law and case."""
    by_steps = target.kind == "sequence" and case.dtype not in FULL_PRECISION
    if not by_steps:
        yield "values", "unrolled", replace(case, mode="eval")
    else:
        if not case.lengths and not case.bidirectional:
            yield "values", "equation", replace(case, mode="eval")
        yield "values", "unrolled", replace(case, mode="eval", dtype="float32")
    if case.mode == "train":
        yield "masks", "same-masks" if case.drops else "unrolled", case
        one = replace(case, seq_len=1, split=1, lengths=",".join("1" * case.batch))
        for law in ("one-step", "same-draws"):
            yield "draws", law, one if case.lengths else replace(one, lengths="")
    yield "gradients", "gradients", case
    yield "gradients", "frozen", replace(case, frozen=",".join(case.differentiable))
    for law in _CONDUCT if of_conduct else ():
        yield law, law, case


def _explained(target: Target, violation: Violation, variants: Variants) -> str | None:
    """Return which variants explain it, in a plain call where theirs cannot be called so."""
    case = Case.parse(violation.case)
    if not variants.can_be_tried(violation.law, case):
        plain = replace(case.one_way(), form="plain", lengths="", batch_first=False)
        found = _violation_in(target, violation.law, plain)
        return None if found is None else variants.explaining(found.law, plain)
    return variants.explaining(violation.law, case)


def _violation_in(target: Target, law: str, case: Case) -> Violation | None:
    try:
        return violation_in(target, law, case)
    except NotApplicable:
        return None


def _told(violation: Violation, otherwise: str) -> str:
    """Return what a message tells but for numbers and dtypes, or another name if it is numbers."""
    if violation.difference is not None:
        return otherwise
    text = violation.message
    if _raises(text) or re.search(r"\bgot (a |an |shape |torch\.)|the process ", text):
        return _NUMBER.sub("#", _DTYPE.sub("a dtype", text))
    return otherwise


def _raises(message: str) -> bool:
    """Whether something raised; what torch raises for want of gradients is a gradient's matter."""
    return " raised " in f" {message}" and not _UNDIFFERENTIABLE.search(message)
