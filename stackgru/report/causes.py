"""Causes: violations that come of one fault, put together by what is at the bottom of each.

Two laws see one fault if their cases have the same symptom (see stackgru.diagnosis.symptoms). A
variant of nn.GRU that the target was found to be is a cause of its own: one that shows in eval
explains what is wrong with values there, one of dropout what needs training to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stackgru.outcomes import OF_DROPOUT, OF_VARIANTS, Violation
from stackgru.report.law_result import LawResult

_SENTENCES = {
    "values": "in eval its results are not nn.GRU's",
    "masks": "in training its results are not nn.GRU's, where in eval they are",
    "draws": "from one seed it draws other random numbers than nn.GRU",
    "draws in eval": "in eval it draws random numbers, where nn.GRU draws none",
    "gradients": "its gradients are not nn.GRU's",
    "calls": "a call leaves something behind in the module",
    "memory": "its results share memory or lie otherwise in it than nn.GRU's, or it writes to its "
    "arguments or goes by how they lie",
    "methods": "a method of its own does something else than torch's",
    "tied": "one weight serves in two places, where nn.GRU has two",
    "plain": "a weight is no parameter, or is frozen",
    "extra": "it has parameters that nn.GRU does not have",
    "names": "weights have two names each: replacing one leaves it under the other",
    "lists": "it holds weights in lists of its own: replacing one leaves it there",
    "start": "without a state it does not start from zeros",
    "traced": "traced, scripted, exported or compiled it does something else than by itself",
    "settings": "a call changes settings, or generators, that are not its own",
}
#: What a case may have that not every call has, as its text says it.
_CIRCUMSTANCES = {
    "batch=0": "for an empty batch",
    "form=unbatched": "for unbatched input",
    "form=packed": "for packed rows",
    "form=packed-sorted": "for packed rows",
    "batch_first=True": "batch first",
    "bidirectional=True": "both ways",
    "h0=left-out": "without a state",
    "h0=none": "without a state",
    "autocast=bfloat16": "under autocast",
    "autocast=float16": "under autocast",
    "dtype=bfloat16": "in bfloat16",
    "dtype=float16": "in float16",
}
#: The answer that each question of a law's decides, what is asked for first coming first.
ANSWERS = {
    "values": "same_values",
    "training": "same_training",
    "seeds": "same_seeds_one_step",
    "sequences": "same_seeds_whole_sequences",
    "gradients": "same_gradients",
    "conduct": "safe_conduct",
    "edge inputs": "edge_inputs",
    "drop-in": "drop_in",
}
_OF_SEEDS = {"seeds", "sequences"}
_OF_RESULTS = {"values", "training", "seeds", "sequences"}


@dataclass(frozen=True)
class Cause:
    """What is wrong with a target, and what sees it.

    Attributes:
        sentence: what is wrong, in one sentence.
        laws: the names of the laws that see it, in the catalogue's order.
        violation: the plainest of their violations.
        answers: what it answers with "no", as in Report.answers.
        variant: the known variant of nn.GRU that explains it; None if none does.
        grown: the laws that are known to be violated by it; it is seen by others now.
    """

    sentence: str
    laws: tuple[str, ...]
    violation: Violation
    answers: tuple[str, ...] = ()
    variant: str | None = None
    grown: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data for a report."""
        return {
            "sentence": self.sentence,
            "laws": list(self.laws),
            "answers": list(self.answers),
            "law": self.violation.law,
            "case": self.violation.case,
            "variant": self.variant,
            "grown": list(self.grown),
            "script": self.violation.script,
        }


def causes_of(
    results: Sequence[LawResult], diagnosis: Mapping[str, Any] | None
) -> tuple[Cause, ...]:
    """Return the causes of what is violated, those first that most users meet."""
    found: dict[str, list[LawResult]] = {}
    known: dict[str, list[str]] = {}
    kept_by: dict[str, str] = {}
    for result in results:
        if result.violation is None:
            continue
        told, _, kept = (result.violation.symptom or result.name).partition("; ")
        symptom = _without_variant(told)
        if kept:
            kept_by[kept] = symptom
        if result.status == "violated":
            found.setdefault(symptom, []).append(result)
        elif result.status == "known":
            known.setdefault(symptom, []).append(result.name)
    for what in ("calls", "methods"):
        single = [symptom for symptom in found if symptom.startswith(f"{what}: ")]
        if len(single) == 1:  # which not every case tells
            _join(found, what, single[0], results)
    for kept, symptom in kept_by.items():  # a variant that keeps its masks in an attribute
        if {kept, symptom} <= {*found}:
            _join(found, kept, symptom, results)
    for masks in (OF_DROPOUT, "masks"):  # other masks are other random numbers
        if masks in found:
            _join(found, "draws", masks, results)
    is_eval = bool(diagnosis and diagnosis.get("only_in_eval"))
    causes = [
        replace(
            _cause(group, symptom, _variants_of(symptom, diagnosis), is_eval),
            grown=tuple(known.get(symptom, ())),
        )
        for symptom, group in found.items()
    ]
    order = [result.name for result in results]
    return tuple(sorted(causes, key=lambda one: _rank(one, order)))


def _join(
    found: dict[str, list[LawResult]], one: str, other: str, order: Sequence[LawResult]
) -> None:
    """Put what has one symptom with what has another, in the catalogue's order."""
    found[other] = sorted([*found.pop(one, ()), *found[other]], key=order.index)


def _without_variant(symptom: str) -> str:
    """Return a symptom without what gradients are instead, which some cases do not tell."""
    return "gradients" if symptom.startswith("gradients: ") else symptom


def _variants_of(symptom: str, diagnosis: Mapping[str, Any] | None) -> str | None:
    """Return the names of the variants that a symptom is of, if they are known."""
    if symptom not in (OF_VARIANTS, OF_DROPOUT) or not diagnosis:
        return None
    of_dropout, wanted = diagnosis.get("of_dropout", ()), symptom == OF_DROPOUT
    return " and ".join(one for one in diagnosis["variants"] if (one in of_dropout) == wanted)


def _cause(
    results: Sequence[LawResult], symptom: str, variant: str | None, only_in_eval: bool
) -> Cause:
    """Return the cause that these laws see, shown by the shortest case."""
    violations = [one.violation for one in results if one.violation is not None]
    plainest = min(violations, key=lambda one: len(one.case))
    sentence = _sentence(symptom, plainest)
    if variant:
        sentence = f"{'in eval ' * only_in_eval}it is nn.GRU with {variant}"
    if symptom == "gradients" and plainest.symptom not in (None, symptom):
        variant = str(plainest.symptom).partition(": ")[2]
        sentence = f"its gradients are those of nn.GRU with {variant}"
    names = tuple(one.name for one in results)
    return Cause(sentence, names, plainest, _denied(results, symptom), variant or None)


def _sentence(symptom: str, plainest: Violation) -> str:
    """Return what a symptom is in words, and in which cases."""
    what, _, attribute = symptom.partition(": ")
    parts, said = plainest.case.split(), _SENTENCES.get(what, "")
    only = [words for part, words in _CIRCUMSTANCES.items() if part in parts and words not in said]
    where = " and ".join(dict.fromkeys(only))
    if what not in _SENTENCES:
        return f"{where}: " * bool(where) + plainest.message
    known = ""
    if attribute:
        known = f", in its attribute {attribute}" if what == "calls" else f": {attribute}()"
    return f"{_SENTENCES[what]}{known}" + f" ({where})" * bool(where)


def _denied(results: Sequence[LawResult], symptom: str) -> tuple[str, ...]:
    """Return what a cause answers with "no".

    What is wrong with results of a call by itself shows in conduct as well, other masks show in
    gradients, and other random numbers in masks.
    """
    every = {one.question for one in results}
    # Those of divergence compare what is wrong in eval with training, and one step with several.
    asked = {one.question for one in results if one.family != "divergence"} or every
    asked |= every & {"sequences"} if "seeds" in asked else set()
    of_conduct = {"methods", "calls", "memory", "settings"}
    symptoms = {symptom, *(str(one.violation and one.violation.symptom) for one in results)}
    if of_conduct & {one.partition(": ")[0] for one in symptoms}:
        return tuple(answer for question, answer in ANSWERS.items() if question in asked)
    if symptom in ("draws", "draws in eval") and asked & _OF_SEEDS:
        asked &= _OF_SEEDS
    elif asked & _OF_RESULTS:
        asked &= _OF_RESULTS | ({"gradients"} if "values" in asked else set())
    else:
        asked = {min(asked, key=[*ANSWERS].index)}
    return tuple(answer for question, answer in ANSWERS.items() if question in asked)


def _rank(cause: Cause, order: Sequence[str]) -> tuple[int, int]:
    """Return what orders causes: by what they answer, then as the catalogue has its laws."""
    asked = min(map([*ANSWERS.values()].index, cause.answers))
    return asked, min(order.index(name) for name in cause.laws)
