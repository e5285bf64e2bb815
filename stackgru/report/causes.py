"""Causes: violations that come of one fault, put together by what is at the bottom of each.

Two laws see one fault if their cases have the same symptom (see stackgru.diagnosis.symptoms). A
variant of nn.GRU that the target was found to be is a cause of its own: one that shows in eval
explains what is wrong with values there, one of dropout what needs training to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackgru.outcomes import Violation
from stackgru.report.law_result import LawResult

_SENTENCES = {
    "values": "in eval its results are not nn.GRU's",
    "masks": "in training its dropout is not nn.GRU's: other masks are drawn, or used otherwise",
    "draws": "from one seed it draws other random numbers than nn.GRU",
    "gradients": "its results are nn.GRU's, but its gradients are not",
}
_OF_DROPOUT = ("masks", "draws")


@dataclass(frozen=True)
class Cause:
    """What is wrong with a target, and what sees it.

    Attributes:
        sentence: what is wrong, in one sentence.
        laws: the names of the laws that see it, in the catalogue's order.
        violation: the plainest of their violations.
        variant: the known variant of nn.GRU that explains it; None if none does.
    """

    sentence: str
    laws: tuple[str, ...]
    violation: Violation
    variant: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data for a report."""
        return {
            "sentence": self.sentence,
            "laws": list(self.laws),
            "law": self.violation.law,
            "case": self.violation.case,
            "variant": self.variant,
            "script": self.violation.script,
        }


def causes_of(
    results: Sequence[LawResult], diagnosis: Mapping[str, Any] | None
) -> tuple[Cause, ...]:
    """Return the causes of what is violated, those first that most users meet."""
    found: dict[str, list[LawResult]] = {}
    for result in results:
        if result.violation is not None and result.status == "violated":
            key = result.violation.symptom or result.name
            found.setdefault(key, []).append(result)
    causes: list[Cause] = []
    for variant, of_dropout in _variants(diagnosis):
        explained = [*_explained(found, of_dropout=of_dropout)]
        if explained:
            causes.append(_cause(f"it is nn.GRU with {variant}", explained, variant))
    left = _unexplained(found, [of_dropout for _, of_dropout in _variants(diagnosis)])
    causes += [_cause(_SENTENCES.get(key, ""), group) for key, group in left.items()]
    order = [result.name for result in results]
    return tuple(sorted(causes, key=lambda one: _rank(one, order)))


def _variants(diagnosis: Mapping[str, Any] | None) -> Iterator[tuple[str, bool]]:
    """Yield the names of the variants that a target is, and whether each is one of dropout."""
    for name in (diagnosis or {}).get("variants", ()):
        yield name, name in (diagnosis or {}).get("of_dropout", ())


def _explained(
    found: Mapping[str, Sequence[LawResult]], *, of_dropout: bool
) -> Iterator[LawResult]:
    """Yield what a variant explains: in training, values are wrong by one of dropout as well."""
    for key in ("values", *_OF_DROPOUT) if of_dropout else ("values",):
        for result in found.get(key, ()):
            if not of_dropout or _in_training(result):
                yield result


def _unexplained(
    found: Mapping[str, list[LawResult]], of_dropout: Sequence[bool]
) -> dict[str, list[LawResult]]:
    """Return what no variant explains, by symptom."""
    explained = {result.name for one in of_dropout for result in _explained(found, of_dropout=one)}
    left = {
        key: [one for one in group if one.name not in explained] for key, group in found.items()
    }
    return {key: group for key, group in left.items() if group}


def _in_training(result: LawResult) -> bool:
    assert result.violation is not None  # noqa: S101 - only violations are grouped
    return "mode=train" in result.violation.case.split()


def _cause(sentence: str, results: Iterable[LawResult], variant: str | None = None) -> Cause:
    """Return the cause that these laws see, shown by the shortest case."""
    results = list(results)
    violations = [one.violation for one in results if one.violation is not None]
    plainest = min(violations, key=lambda one: len(one.case))
    names = tuple(dict.fromkeys(one.name for one in results))
    return Cause(sentence or plainest.message, names, plainest, variant)


def _rank(cause: Cause, order: Sequence[str]) -> tuple[bool, int]:
    """Return what orders causes: those of variants first, then as the catalogue has its laws."""
    return cause.variant is None, min(order.index(name) for name in cause.laws)
