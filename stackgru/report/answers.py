"""What a user asks of a target, and the answers that follow from causes and from what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackgru.report.causes import ANSWERS, Cause
from stackgru.report.law_result import UNFINISHED, LawResult

#: What a user asks, in the order in which it is answered.
QUESTIONS = {
    "same_values": "same values (eval)",
    "same_training": "same training (same masks)",
    "same_seeds_one_step": "same seeds (one step)",
    "same_seeds_whole_sequences": "same seeds (whole sequences)",
    "same_gradients": "same gradients",
    "safe_conduct": "safe conduct",
    "edge_inputs": "edge inputs",
    "drop_in": "drop-in",
}
#: The answers without which nothing is called interchangeable, by the question that laws decide.
NEEDED = {
    "same_values": "values",
    "same_training": "training",
    "same_seeds_one_step": "seeds",
    "same_gradients": "gradients",
    "safe_conduct": "conduct",
}
#: What eval does not need.
IN_TRAINING = {"same_training", "same_seeds_one_step", "same_seeds_whole_sequences"}
_DECIDED = {**NEEDED, "edge_inputs": "edge inputs", "drop_in": "drop-in"}


def answers_of(
    kind: str,
    results: Sequence[LawResult],
    causes: Sequence[Cause],
    build_facts: Mapping[str, Any],
) -> dict[str, str]:
    """Return each answer, "yes", "no" or "not tried"; *drop-in* for sequences only.

    An answer is "no" if a cause says so, or a law that is known to be violated, or what the target
    refuses; and "yes" only if what decides it was tried.
    """
    wrong = {answer for cause in causes for answer in cause.answers}
    for result in results:
        if result.status == "known":
            wrong.add(ANSWERS[result.question])
        if result.status == "refused":
            wrong.add("drop_in" if result.question == "drop-in" else "edge_inputs")
    whole = build_facts.get("whole_sequences_from_one_seed", {})
    if whole and any(part != "same" for part in whole.values()):
        wrong.add("same_seeds_whole_sequences")
    found = {}
    for answer in QUESTIONS:
        was_tried = bool(whole)
        if answer in _DECIDED:
            was_tried = _was_decided(results, _DECIDED[answer])
        if answer != "drop_in" or kind == "sequence":
            found[answer] = "no" if answer in wrong else "yes" if was_tried else "not tried"
    return found


def _was_decided(results: Sequence[LawResult], question: str) -> bool:
    """Whether every law that decides a question was tried."""
    tried = [
        one
        for one in results
        if one.decides == question and one.status not in ("not applicable", *UNFINISHED)
    ]
    needed = {name for one in tried for name in one.decided_by}
    return bool(tried) and needed <= {one.name for one in tried}
