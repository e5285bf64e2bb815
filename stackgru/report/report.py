"""Report: the verdicts on all laws for one target on one build of torch, as data.

Neither torch nor hypothesis is needed to read or write one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 1
STATUSES = ("holds", "violated", "known", "not applicable", "crashed", "timed out")

#: What a user asks, in the order in which it is answered.
QUESTIONS = {
    "same_values": "same values (eval)",
    "same_training": "same training (under the same masks)",
    "same_seeds_one_step": "same seeds for one step",
    "same_seeds_whole_sequences": "same seeds for whole sequences",
    "same_gradients": "same gradients",
    "safe_conduct": "safe conduct",
}


@dataclass(frozen=True)
class Finding:
    """A violation as a report keeps it.

    Attributes:
        law: the law's name.
        case: text of the smallest case that shows it; cases.Case.parse reads it.
        message: what was seen and expected.
        largest_difference: the largest difference seen, where values are compared.
        allowed_difference: what is allowed at the same place.
        place: where the two first part.
        parts_at: of values, the first step and layer whose new state is not the equation of its
            own input and state, with both numbers and the bound.
        gate: the first gate there that is wrong by itself, likewise.
        script: the path of the script that shows it, where it was saved.
        problem: why there is no script, or why the script does not show it.
    """

    law: str
    case: str
    message: str
    largest_difference: float | None = None
    allowed_difference: float | None = None
    place: str | None = None
    parts_at: str | None = None
    gate: str | None = None
    script: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class LawResult:
    """What became of one law.

    Attributes:
        name: the law's name.
        family: its family.
        question: what a violation answers; see laws.Law.
        status: one of STATUSES.
        examples: how many cases were tried, up to the first violation.
        reason: why it is not applicable, crashed or timed out.
        violation: the finding, if it is violated.
        seconds: how long it took.
        ratio: the largest ratio of difference to allowed difference seen.
    """

    name: str
    family: str
    question: str
    status: str
    examples: int = 0
    reason: str | None = None
    violation: Finding | None = None
    seconds: float = 0.0
    ratio: float = 0.0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LawResult:
        """Rebuild a result from its dataclasses.asdict, as it comes from a worker."""
        violation = data["violation"]
        return cls(**{**data, "violation": Finding(**violation) if violation else None})


@dataclass(frozen=True)
class Report:
    """The verdicts on all laws for one target on one build of torch.

    Attributes:
        target: the target's name.
        kind: "cell" or "sequence".
        torch_version: the build's version.
        build_facts: what was measured on this build; never passes or fails.
        results: one a law that was run, in the catalogue's order.
        seed: what the run started from, or None where Hypothesis' own seed was used.
        diagnosis: what the target is, where it is not nn.GRU: the names of the variants that it
            agrees with, on how many cases, and a sentence; None where it was not asked.
        convention: the options of ``stackgru check`` that tell the target's convention, where its
            name does not; None where only a Convention can.
    """

    target: str
    kind: str
    torch_version: str
    build_facts: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[LawResult] = ()
    seed: int | None = None
    diagnosis: Mapping[str, Any] | None = None
    convention: Sequence[str] | None = ()

    @property
    def violations(self) -> list[Finding]:
        """The findings, one a violated law; without those that are known."""
        found = [result for result in self.results if result.status != "known"]
        return [result.violation for result in found if result.violation is not None]

    @property
    def known(self) -> list[LawResult]:
        """The laws that are violated and known to be."""
        return [result for result in self.results if result.status == "known"]

    @property
    def unfinished(self) -> list[LawResult]:
        """The laws that crashed or timed out."""
        return [result for result in self.results if result.status in ("crashed", "timed out")]

    @property
    def ok(self) -> bool:
        """Whether every law that applies holds, and at least one does."""
        held = any(result.status == "holds" for result in self.results)
        return held and not self.violations and not self.unfinished

    @property
    def exit_status(self) -> int:
        """0 if ok, 1 if some law is violated, 3 if there is no verdict."""
        if self.violations:
            return 1
        return 0 if self.ok else 3

    @property
    def answers(self) -> dict[str, str]:
        """The verdict by what a user asks: yes, no, or "not shown"."""
        broken = {self._answered_by(result) for result in self.results if result.violation}
        values = self._answer(broken, "values")
        no_values = values == "no"
        training = "no" if no_values else self._answer(broken, "training")
        seeds = "no" if no_values else self._answer(broken, "seeds")
        whole = self.build_facts.get("whole_sequences_from_one_seed", {})
        sequences = "not shown"
        if whole:
            same = all(part == "same" for part in whole.values()) and "sequences" not in broken
            sequences = "yes" if same else "no"
        return {
            "same_values": values,
            "same_training": training,
            "same_seeds_one_step": seeds,
            "same_seeds_whole_sequences": sequences,
            "same_gradients": "no" if no_values else self._answer(broken, "gradients"),
            "safe_conduct": self._answer(broken, "conduct"),
        }

    def _answered_by(self, result: LawResult) -> str:
        if result.question in ("gradients", "conduct"):
            return result.question
        # The smallest case is in eval wherever the law fails there too.
        if result.violation and "mode=eval" in result.violation.case.split():
            return "values" if result.family != "randomness" else "seeds"
        return result.question

    def _answer(self, broken: set[str], question: str) -> str:
        if question in broken:
            return "no"
        decisive = {
            "values": {"equation", "unrolled"},
            "training": {"same-masks"},
            "seeds": {"one-step"},
            "gradients": {"gradients"},
            "conduct": {"purity", "stateless"},
        }[question]
        held = {result.name for result in self.results if result.status != "not applicable"}
        unfinished = {result.name for result in self.unfinished}
        return "yes" if decisive <= held - unfinished else "not shown"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        violated, tried = len(self.violations), len(self.results)
        applied = sum(result.status != "not applicable" for result in self.results)
        examples = sum(result.examples for result in self.results)
        if violated or self.known:
            answers = ", ".join(
                f"{QUESTIONS[name].split(' (')[0]} {answer}"
                for name, answer in self.answers.items()
            )
            also = f"{len(self.known)} of {tried} laws violated as known"
            if not violated and not self.unfinished:
                return f"{self.target}: nothing new; {also} ({answers})."
            if violated:
                known = f", and {also}" if self.known else ""
                return (
                    f"{self.target} is not interchangeable with nn.GRU: {violated} of {tried} laws "
                    f"violated{known} ({answers})."
                )
        if self.unfinished:
            names = ", ".join(result.name for result in self.unfinished)
            return f"{self.target}: no verdict, because of {names}."
        if not applied:
            return f"{self.target}: no verdict, because no law applied."
        if "not shown" in (self.answers["same_values"], self.answers["same_training"]):
            names = "law that was tried" if applied == 1 else f"{applied} laws that were tried"
            return (
                f"{self.target}: nothing against it by the {names} ({examples:,} examples); "
                "the other laws are needed for a verdict."
            )
        sequences = self.answers["same_seeds_whole_sequences"]
        but = f"; {QUESTIONS['same_seeds_whole_sequences']}: no" if sequences == "no" else ""
        return (
            f"{self.target} is interchangeable with nn.GRU: "
            f"all {applied} laws that apply hold ({examples:,} examples{but})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, schema version 1."""
        laws = []
        for result in self.results:
            entry = asdict(result)
            entry.pop("question")
            if entry["violation"]:
                entry["violation"].pop("law")
                for name in ("parts_at", "gate", "script", "problem"):
                    if entry["violation"][name] is None:
                        del entry["violation"][name]
            laws.append(entry)
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "kind": self.kind,
            "convention": None if self.convention is None else list(self.convention),
            "torch_version": self.torch_version,
            "seed": self.seed,
            "build_facts": dict(self.build_facts),
            "diagnosis": None if self.diagnosis is None else dict(self.diagnosis),
            "verdict": {"ok": self.ok, "sentence": self.sentence, **self.answers},
            "laws": laws,
        }

    def to_json(self) -> str:
        """Return the report as JSON text; an infinite number is written as a string."""
        return json.dumps(_finite(self.to_dict()), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for by its text."""
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
