"""What the laws' test reports carry, put together to one report for each target."""

from __future__ import annotations

from typing import Any

from stackgru.laws.names import NAMES
from stackgru.outcomes import Violation
from stackgru.report.law_result import LawResult
from stackgru.report.report import Report

DIED = "the worker process died while it ran"


class Gathered:
    """Results of laws as they come, by the id of the test function that runs them."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._results: dict[str, dict[str, LawResult]] = {}
        self._diagnoses: dict[str, dict[str, Any]] = {}

    def add(self, nodeid: str, data: dict[str, Any]) -> LawResult | None:
        """Take over what a test report carries; return the law's result, if it ran one."""
        key, _ = split(nodeid)
        entry = self._found.setdefault(key, {**data, "facts": {}})
        if data["facts"]:
            entry["facts"] = data["facts"]
        if not data["result"]:
            return None
        result = LawResult.from_dict(data["result"])
        self._results.setdefault(key, {})[result.name] = result
        return result

    def add_unfinished(
        self, nodeid: str, status: str, reason: str, violation: Violation | None = None
    ) -> LawResult:
        """Note and return the result of a law that gave none; what it had found counts."""
        key, name = split(nodeid)
        status = status if violation is None else "violated"
        # A law of the user's own may be in a file that workers alone read.
        of_law = NAMES.get(name, ("own", "training"))
        result = LawResult(name, *of_law, status, reason=reason, violation=violation)
        return self._results.setdefault(key, {}).setdefault(name, result)

    def add_died(self, nodeid: str) -> None:
        """Note a test whose worker died; it may be the user's own, and of no law."""
        if split(nodeid)[1] in NAMES:
            self.add_unfinished(nodeid, "crashed", DIED)

    def add_diagnoses(self, diagnoses: dict[str, dict[str, Any]]) -> None:
        """Take over what targets were found to be, by their keys."""
        self._diagnoses |= diagnoses

    def reports(self) -> list[Report]:
        """Return a report for every target of which something is known."""
        return [self._report(key, entry) for key, entry in self._found.items()]

    def _report(self, key: str, entry: dict[str, Any]) -> Report:
        results = self._results.get(key, {})
        order = [*NAMES, *sorted(results.keys() - NAMES)]
        return Report(
            target=entry["target"],
            kind=entry["kind"],
            convention=entry.get("convention", ()),
            torch_version=entry["torch_version"],
            versions=entry.get("versions", {}),
            options=entry.get("options", {}),
            build_facts=entry["facts"],
            results=[results[name] for name in order if name in results],
            seed=entry["seed"],
            strict=entry["strict"],
            is_isolated=entry["is_isolated"],
            limits=entry["limits"],
            unseen=entry["unseen"],
            layers=entry["layers"],
            dropout=entry["dropout"],
            weights=entry["weights"],
            diagnosis=self._diagnoses.get(key),
        )


def split(nodeid: str) -> tuple[str, str]:
    """Return the key of a target, the id of the test function that runs its laws; and the law."""
    key, _, name = nodeid.rpartition("[")
    return key, name.rstrip("]")
