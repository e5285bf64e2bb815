"""What is wrong at the bottom of a violation, seen in its own case.

A target that computes another equation violates laws of values, masks, gradients and conduct. What
they have in common shows in each one's shrunk case: there the target is asked for what is plainest,
its values in eval, then its values in training, its random numbers, its gradients, and what a call
leaves behind. The first of these that it lacks is the symptom, unless the law is violated even if
that is put right; see stackgru.report.causes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.diagnosis.explained import Variants, of_gradients, violation_in, without_numbers
from stackgru.diagnosis.mended import Mended, changed_methods, left_behind, mended
from stackgru.harness.pair import Pair
from stackgru.laws.plainest import (
    BY_REVERSE_MODE,
    OF_DERIVATIVES,
    OF_ITS_OWN_GRADIENTS,
    OF_TRACED,
    asked_in,
    differs_from_its_own_derivative,
    recorded,
    unusual,
    with_masks,
)
from stackgru.laws.registry import all_laws
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import OF_DROPOUT, NotApplicable, Violated, Violation
from stackgru.targets.target import Target

#: What a variant of nn.GRU may be wrong in.
_MAYBE_VARIANTS = ("values", "masks", "draws")
#: A larger difference is not taken for an error of values that shows in unusual cases alone.
_SMALL = 1e-3
#: What is not asked once something was put right.
_ONLY_OWN = ("masks", "usual values", "usual masks", "usual draws")
#: What puts right what was found.
_MENDED_BY = {
    **{"values": "results", "gradients": "results"},
    **{"masks": "draws", "draws": "draws", "draws in eval": "draws"},
}
#: What is put right if nothing was found in a call by itself.
_BETWEEN_CALLS = (
    "methods",
    "tied",
    "plain",
    "extra",
    "calls",
    "memory",
    "settings",
    "names",
    "lists",
    "start",
)
_UNDIFFERENTIABLE = re.compile(r"^[\w -]*(derivatives|gradients)[\w -]* raised ")
_OF_GRADIENTS = re.compile(r"grad|derivative|graph|autograd|inplace|leaf")
#: What torch raises for want of gradients, or where some are required that cannot be.
_OF_REQUIRING = re.compile(r"does not require grad|requires_grad_\(\)")
#: No attribute, and no method.
_NO_NAME = "-"
#: What it raises where memory is asked for, and tensors of torch.func have none.
_OF_STORAGE = re.compile(r"Cannot access (storage|data pointer) of")
_RAISED = re.compile(r"\braised (\w+(?:: [^:;.(\[]+)?)")


def symptom_of(target: Target, violation: Violation, variants: Callable[[], Variants]) -> str:
    """Return the symptom of a violation.

    Args:
        target: the target.
        violation: its violation of a law.
        variants: finds what the target is instead of nn.GRU.

    Returns:
        OF_VARIANTS or OF_DROPOUT of stackgru.outcomes if variants explain it; "values", "masks",
        "draws", "draws in eval" or "gradients"; one of _BETWEEN_CALLS if it is gone with that put
        right; what was raised, or given in place of a tensor like nn.GRU's, without numbers;
        "traced" if it is right but for what torch makes of it by tracing; the law's own name else.
        What gradients are instead follows "gradients: ", the attribute that calls change
        "calls: ", the method "methods: ". What of OF_DROPOUT is gone with what calls leave put
        right has that after "; ".
    """
    symptom = _symptom_of(target, violation, variants)
    if symptom in ("masks", "gradients", violation.law):
        symptom = _of_unusual_values(target, violation, variants) or symptom
    if symptom == "gradients":
        with suppress(Violated):
            instead = of_gradients(target, violation.law, Case.parse(violation.case))
            return symptom if instead is None else f"{symptom}: {instead}"
    if symptom == OF_DROPOUT:  # masks are often kept between calls
        kept = _between_calls(target, violation) or ""
        return f"{symptom}; {kept}" if kept.startswith("calls") else symptom
    return symptom


def _symptom_of(target: Target, violation: Violation, variants: Callable[[], Variants]) -> str:
    """Return the symptom of a violation, but for what gradients are instead."""
    law = all_laws()[violation.law]
    # Laws of gradients differ in what they take gradients of.
    own = _told(violation, "gradients" if law.question == "gradients" else law.name)
    if violation.ended_the_process:
        return own
    found = None
    if not _raises(violation.message):
        found, target = _found_in_a_call(target, violation, variants)
    else:
        found = _raised_for_widths(target, violation, variants)
    if found is None and replace(Case.parse(violation.case), mode="train").drops:
        found = variants().explaining(law.name, Case.parse(violation.case))
    if found is not None:
        return found
    of_leaves = _raises(violation.message) and "leaf" in violation.message
    found = _raised_by_gradients(target, violation) if of_leaves else None
    found = found or _between_calls(target, violation)
    if found is not None:
        return found
    if _raises(violation.message):
        found = _raised_by_gradients(target, violation)
        own = "gradients" if _OF_REQUIRING.search(violation.message) else own
        own = "memory" if _OF_STORAGE.search(violation.message) else own
    elif own == law.name:
        found = _in_the_calls(target, violation)
        own = "traced" if law.name in OF_TRACED else own
    return found or own


def _in_the_calls(target: Target, violation: Violation) -> str | None:
    """Return what is wrong in the calls that a law makes, which others may show only in its case.

    Numbers are right if weights are: what becomes of weights is no matter of a call by itself.
    """
    law, case = all_laws()[violation.law], Case.parse(violation.case)
    if not _remains(target, violation):
        return None
    if _remains(target, violation, "numbers") is False:
        if law.question == "conduct":
            return None
        others = (law.name, replace(case, mode="eval")), recorded(case)
        in_eval = case.mode == "eval" or any(_violation_in(target, *one) for one in others)
        return "values" if in_eval else "masks"
    if _remains(target, violation, "results") is False:
        return "gradients"
    drops = replace(case, mode="train").drops
    return "draws" if drops and _remains(target, violation, "draws") is False else None


def _is_given_a_state(violation: Violation) -> bool:
    """Whether a violation's law gives the target a state in its case."""
    is_given = Case.parse(violation.case).h0 == "given"
    return is_given and not all_laws()[violation.law].without_state


def _raised_for_widths(
    target: Target, violation: Violation, variants: Callable[[], Variants]
) -> str | None:
    """Return which variants explain what is raised where input and states are not equally wide."""
    case = Case.parse(violation.case)
    if case.num_layers == 1 or case.input_size == case.hidden_size:
        return None
    square = target.fitted(replace(case, input_size=case.hidden_size))
    try:
        found = violation_in(target, violation.law, square)
        if found is not None and _raises(found.message):
            return None
        return variants().raising_alike(violation.law, case)
    except NotApplicable:
        return None


def explains(target: Target, symptom: str, law: str, case: Case) -> bool:
    """Whether a symptom, "values", "masks" or "calls: ...", tells all that a law sees in a case."""
    found = _violation_in(target, law, case)
    if found is not None and symptom.startswith("calls: "):
        return not _remains(target, found, symptom)
    return found is None or _other_than(target, found, symptom) is None


def _between_calls(
    target: Target, violation: Violation, what: Sequence[str] = _BETWEEN_CALLS
) -> str | None:
    """Return what can be put right between calls so that a violation is gone, if anything."""
    gone = (how for how in what if _remains(target, violation, how) is False)
    found = next(gone, None)
    if found is None or not _remains(target, violation):
        return None
    return _single(target, violation, found) if found in ("calls", "methods") else found


def _single(target: Target, violation: Violation, what: str) -> str:
    """Return which attribute, or method, a violation comes of, if it is a single one."""
    with suppress(Exception):  # a target may do anything
        case = Case.parse(violation.case)
        names = left_behind(target, case) if what == "calls" else changed_methods(target, case)
        if _remains(target, violation, f"{what}: {_NO_NAME}") is False:  # it sets parameters
            return what
        for name in names:
            if _remains(target, violation, f"{what}: {name}") is False:
                return f"{what}: {name}"
    return what


def _raised_by_gradients(target: Target, violation: Violation) -> str | None:
    """Return "gradients" if the same is raised where nothing but gradients is looked at."""
    case, law = Case.parse(violation.case), all_laws()[violation.law]
    dropping = target.fitted(replace(with_masks(case)[1], mode="train", batch=2))
    wider = asked_in(dropping, target.kind, law) if law.question == "gradients" else ()
    other = asked_in(replace(dropping, bias=not case.bias), target.kind, law)
    for name, asked, asked_case in chain(asked_in(case, target.kind, law), wider, other):
        found = _violation_in(target, asked, asked_case) if name == "gradients" else None
        # Without forward mode, or without any, derivatives may be wrong otherwise as well.
        of_gradients = law.question == "gradients" or bool(_OF_REQUIRING.search(violation.message))
        is_wrong = found is not None and of_gradients and not _raises(found.message)
        if found and (is_wrong or _exception(found.message) == _exception(violation.message)):
            return _between_calls(target, found) or _told(found, name)
    return None


def _found_in_a_call(
    target: Target, violation: Violation, variants: Callable[[], Variants]
) -> tuple[str | None, Target]:
    """Return the symptom that a call by itself shows, if any, and the target with others mended."""
    law, case, known = all_laws()[violation.law], Case.parse(violation.case), None
    of_gradients = law.question == "gradients" or _OF_GRADIENTS.search(violation.message)
    for name, asked, asked_case in asked_in(case, target.kind, law):
        if name == "gradients" and not of_gradients:  # other results do not go by them
            continue
        found = _violation_in(target, asked, target.fitted(asked_case))
        if found is None or (name in _ONLY_OWN and isinstance(target, Mended)):
            continue
        # How many masks a wrong one draws depends on the case.
        symptom = name if name in ("masks", "draws") else _told(found, name)
        if known is None and symptom.removeprefix("usual ") in _MAYBE_VARIANTS:
            known = variants()
        explained = _explained(target, found, known) if known and known.names else None
        if name.startswith("usual "):
            if symptom != name:
                continue
            if known is None or explained is None:
                return name.removeprefix("usual "), target
            if law.family == "values":  # whatever it makes of numbers that are wrong
                return explained, target
        if known is None or explained is None:
            asked_of: tuple[str, ...] = _BETWEEN_CALLS
            if symptom == "draws":  # with a state they are no matter of the start, unless by chance
                asked_of = () if _is_given_a_state(found) else ("start",)
            between = _between_calls(target, found, asked_of)
            if between is not None and (symptom in _MENDED_BY or name == "values"):
                return between, target
            other = _other_than(target, violation, symptom)
            of_no_numbers = law.question == "conduct" and violation.difference is None
            if other is None and of_no_numbers and symptom == "values":
                between = _between_calls(target, violation)
                if between is not None:
                    return between, target
            if other is None:
                return "masks" if _draws_masks(target, symptom, case, known) else symptom, target
            target = mended(target, other)
        elif not known.can_be_tried(law.name, case):
            return explained, target
        else:
            own_explained = known.explaining(law.name, case)
            if own_explained is not None:
                return own_explained, target
    return None, target


def _of_unusual_values(
    target: Target, violation: Violation, variants: Callable[[], Variants]
) -> str | None:
    """Return the symptom of values that are wrong in other cases alone, and so not in its own."""
    case, difference = Case.parse(violation.case), violation.difference
    question = all_laws()[violation.law].question
    if difference is None and question in ("gradients", "conduct"):
        return None
    is_large = difference is not None and difference > _SMALL and not case.not_finite
    if is_large and not _has_derivatives_of_its_values(target, violation):
        return None
    for law, one in unusual(case):
        found = _violation_in(target, law, target.fitted(one))
        if found is not None:
            known = variants()
            return (_explained(target, found, known) if known.names else None) or "values"
    return None


def _has_derivatives_of_its_values(target: Target, violation: Violation) -> bool:
    """Whether gradients that are not nn.GRU's are those of what the target computes itself.

    Then values differ nearby, if not in the violation's case.
    """
    case, law = Case.parse(violation.case), BY_REVERSE_MODE.get(violation.law)
    if law is None or case.dtype not in FULL_PRECISION or case.autocast:
        return False
    if law != violation.law and _violation_in(target, law, case) is None:
        return False
    return _has_gradients_of_its_own(target, replace(violation, law=law)) is False


def _draws_masks(target: Target, symptom: str, case: Case, known: Variants | None) -> bool:
    """Whether what is drawn where nn.GRU draws nothing is wrong as masks as well, unexplained."""
    if symptom != "draws" or case.drops:
        return False
    law, other = with_masks(case)
    try:
        found = violation_in(target, law, target.fitted(other))
        is_known = found and known and known.names and _explained(target, found, known)
        return found is not None and not is_known
    except Exception:  # it has other layers or rates, or none
        return False


def _other_than(target: Target, violation: Violation, symptom: str) -> str | None:
    """Return what can be put right of a symptom so that a law is violated even so, if anything."""
    question, mending = all_laws()[violation.law].question, _MENDED_BY.get(symptom)
    if mending is None:
        return None
    is_of_results = question not in ("gradients", "conduct", "seeds")
    if is_of_results and violation.difference is not None:
        return None
    if violation.law not in OF_DERIVATIVES or symptom not in ("values", "masks"):
        if _remains(target, violation, mending):
            of_draws = symptom == "values" and _remains(target, violation, "draws") is False
            return None if of_draws and _is_drawn(target, violation) else mending
        if symptom not in ("values", "masks") or not _remains(target, violation, "numbers"):
            return None
        if violation.law in OF_ITS_OWN_GRADIENTS:
            return "numbers"
    return "numbers" if _has_gradients_of_its_own(target, violation) else None


def _is_drawn(target: Target, violation: Violation) -> bool:
    """Whether a target's values in eval go by what it draws: then both are one fault."""
    case = replace(Case.parse(violation.case), mode="eval")
    often = replace(case, dropout=0.5 if case.dropout else 0.0)  # at other rates few seeds may tell
    for asked in dict.fromkeys((case, often)):
        found: list[Tensor] = []
        with suppress(Violated, NotApplicable):
            pair = Pair(target, target.fitted(asked))
            for seed in range(4):
                with pair.copied():
                    pair.seed(seed)
                    found.append(pair.run().outputs.nan_to_num())
        if any(not torch.equal(found[0], other) for other in found[1:]):
            return True
    return False


def _has_gradients_of_its_own(target: Target, violation: Violation) -> bool | None:
    """Whether a target's gradients in a case are not those of its own values; None if unknown."""
    case = replace(Case.parse(violation.case), dtype="float64", autocast="", grad="on")
    try:
        return differs_from_its_own_derivative(Pair(target, case), violation.law)
    except Exception:  # it has none that can be told
        return None


def _remains(target: Target, violation: Violation, mending: str | None = None) -> bool | None:
    """Whether a law is violated likewise, if something is put right; None if it is not known."""
    try:
        target = target if mending is None else mended(target, mending)
        found = violation_in(target, violation.law, Case.parse(violation.case))
    except Exception:  # not every module can be mended
        return None
    return found is not None and (found.difference is None) == (violation.difference is None)


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
    if _raises(text):
        return _exception(text) or text
    if re.search(r"\bgot (a |an |shape |torch\.)|the process ", text):
        return without_numbers(text)
    return otherwise


def _exception(message: str) -> str | None:
    """Return the exception that a message names, and the first clause of what it says."""
    found = _RAISED.search(message)
    return None if found is None else without_numbers(found[0])


def _raises(message: str) -> bool:
    """Whether something raised; what torch raises for want of gradients is a gradient's matter."""
    return " raised " in f" {message}" and not _UNDIFFERENTIABLE.search(message)
