"""What became of one law, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from stackgru.outcomes import Violation
from stackgru.report.of_0_1 import as_of_0_1

STATUSES = (
    "holds",
    "refused",
    "violated",
    "known",
    "gone",
    "not applicable",
    "crashed",
    "timed out",
    "not run",
)
HELD = ("holds", "gone")
UNFINISHED = ("crashed", "timed out", "not run")

#: Names in JSON that are not those of the field.
_KEYS = {
    "difference": "largest_difference",
    "allowed": "allowed_difference",
    "first_wrong_at": "parts_at",
}
_OPTIONAL = ("first_wrong_at", "gate", "map", "symptom", "script", "problem")


@dataclass(frozen=True)
class LawResult:
    """What became of one law.

    Attributes:
        name: the law's name.
        family: its family.
        question: the question that a violation answers with "no": "values", "training", "seeds",
            "sequences", "gradients", "conduct", "edge inputs" or "drop-in".
        status: one of STATUSES; "refused" if it holds but for edge inputs, such as an empty batch,
            or for ways to build and call it, that nn.GRU accepts and the target refuses.
        examples: how many cases were tried, up to the first violation.
        reason: why it is not applicable, crashed, timed out or was not run; what is refused.
        violation: the evidence, if it is violated.
        seconds: how long it took.
        ratio: the largest ratio of difference to allowed difference seen.
        decides: the question that is answered with "yes" only if this law was tried; "" if none.
        decided_by: names of all laws that decide that question.
        known: why it is known to be violated; "" if it is not. If it holds all the same, its status
            is "holds", and "gone" if that counts (known_strict).
    """

    name: str
    family: str
    question: str
    status: str
    examples: int = 0
    reason: str | None = None
    violation: Violation | None = None
    seconds: float = 0.0
    ratio: float = 0.0
    decides: str = ""
    decided_by: tuple[str, ...] = ()
    known: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, as in a report's JSON."""
        entry = asdict(self)
        if self.violation is not None:
            found = entry["violation"]
            del found["law"]
            entry["violation"] = {
                _KEYS.get(name, name): value
                for name, value in found.items()
                if value is not None or name not in _OPTIONAL
            }
        return entry

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LawResult:
        """Rebuild a result from its to_dict, of this version or of 0.1."""
        values = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        if found := values.get("violation"):
            names = {key: name for name, key in _KEYS.items()}
            found = {names.get(key, key): value for key, value in found.items()}
            for name in ("difference", "allowed"):
                found[name] = None if found[name] is None else float(found[name])
            if found.get("map"):
                found["map"] = tuple(tuple(map(float, row)) for row in found["map"])
            values["violation"] = Violation(values["name"], **found)
        for name in ("seconds", "ratio"):
            values[name] = float(values[name])
        if "question" not in values:
            values |= as_of_0_1(values)
        return cls(**{**values, "decided_by": tuple(values["decided_by"])})
