"""Report: the verdicts on all laws for one target on one build of torch, as data.

Neither torch nor hypothesis is needed to read or write one.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stackgru.options import StackgruError
from stackgru.outcomes import Violation
from stackgru.report.answers import IN_TRAINING, NEEDED, QUESTIONS, answers_of
from stackgru.report.causes import Cause, causes_of
from stackgru.report.files import json_text, plain
from stackgru.report.law_result import HELD, STATUSES, UNFINISHED, LawResult

SCHEMA_VERSION = 2


class BrokenReport(StackgruError):
    """A text is not a report that this version can read; the message is one sentence."""


@dataclass(frozen=True)
class Report:
    """The verdicts on all laws for one target on one build of torch.

    ``print(report)`` shows what ``stackgru check`` shows.

    Attributes:
        target: the target's name.
        kind: "cell" or "sequence".
        torch_version: the build's version.
        build_facts: what was measured on this build; never passes or fails.
        results: one per law that was run, in the catalogue's order.
        seed: the seed of the run, or None if Hypothesis chose it.
        diagnosis: what the target is, if it is not nn.GRU: the names of the variants that it
            agrees with, on how many cases, and a sentence; None if that was not examined.
        convention: the options of ``stackgru check`` that specify the target's convention, if its
            name does not; None if only a Convention can.
        is_isolated: whether the laws ran in processes of their own, which the target may end.
        limits: what the target does not support, such as a dtype or bias=False, and why.
        unseen: what cannot be seen as the target is called, e.g. "hn is not returned".
        layers: the number of layers that the target has, if it cannot be built with another.
        dropout: likewise, its dropout probability.
        weights: where the layers' weights were found, if neither names nor a function say it.
        strict: whether differences that are normally only reported count.
        versions: of stackgru, torch, hypothesis and Python; empty in a report of before 0.3.
        options: every field of Options as it was set; likewise.
    """

    target: str
    kind: str
    torch_version: str
    build_facts: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[LawResult] = ()
    seed: int | None = None
    diagnosis: Mapping[str, Any] | None = None
    convention: Sequence[str] | None = ()
    is_isolated: bool = True
    limits: Mapping[str, str] = field(default_factory=dict)
    unseen: Sequence[str] = ()
    layers: int | None = None
    dropout: float | None = None
    weights: str | None = None
    strict: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", tuple(self.results))
        object.__setattr__(self, "unseen", tuple(self.unseen))
        if self.convention is not None:
            object.__setattr__(self, "convention", tuple(self.convention))

    def __str__(self) -> str:
        """Return what ``stackgru check`` shows, 80 columns wide, without colour."""
        terminal = importlib.import_module("stackgru.report.terminal")  # which imports this module
        return str(terminal.render(self, width=80, colour=False)).rstrip()

    @property
    def violations(self) -> list[Violation]:
        """One per violated law; without those that are known."""
        found = [result for result in self.results if result.status != "known"]
        return [result.violation for result in found if result.violation is not None]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What is wrong, each with the laws that see it; those first that most users meet."""
        return causes_of(self.results, self.diagnosis)

    def without_scripts(self) -> Report:
        """Return it without the paths of scripts."""
        results = [
            one
            if one.violation is None
            else replace(one, violation=replace(one.violation, script=None))
            for one in self.results
        ]
        return replace(self, results=results)

    @property
    def known(self) -> list[LawResult]:
        """The laws that are violated and known to be."""
        return [result for result in self.results if result.status == "known"]

    @property
    def gone(self) -> list[LawResult]:
        """The laws that hold though they are known to be violated."""
        return [result for result in self.results if result.known and result.status in HELD]

    @property
    def unfinished(self) -> list[LawResult]:
        """The laws that crashed, timed out or were not run."""
        return [result for result in self.results if result.status in UNFINISHED]

    @property
    def ok(self) -> bool:
        """Whether every law that applies holds or is known not to, and at least one applies.

        Edge inputs may be refused, and it need not be a drop-in.
        """
        held = any(one.status in ("holds", "refused", "known") for one in self.results)
        return held and not self._is_wrong and not self.unfinished

    @property
    def _is_wrong(self) -> bool:
        return bool(self.violations) or any(one.status == "gone" for one in self.results)

    @property
    def exit_status(self) -> int:
        """0 if ok, 1 if some law is violated or gone, 3 if there is no verdict."""
        if self._is_wrong:
            return 1
        return 0 if self.ok else 3

    @property
    def answers(self) -> dict[str, str]:
        """The verdict by what a user asks: "yes", "no", or "not tried"; *drop-in* of sequences."""
        return answers_of(self.kind, self.results, self.causes, self.build_facts)

    @property
    def refused(self) -> list[LawResult]:
        """The laws that hold but for what the target refuses; see LawResult."""
        return [result for result in self.results if result.status == "refused"]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        applied = sum(result.status != "not applicable" for result in self.results)
        examples = sum(result.examples for result in self.results)
        known = ", ".join(result.name for result in self.known)
        if self.causes:
            besides = f" (besides, as known: {known})" if known else ""
            return f"{self.target} is not interchangeable with nn.GRU{self._because}{besides}."
        if (known or self.gone) and not self.unfinished:
            gone = ", ".join(result.name for result in self.gone)
            parts = [f"violated as known: {known}"] * bool(known)
            parts += [f"no longer violated, though known to be: {gone}"] * bool(gone)
            return f"{self.target}: nothing new; {'; '.join(parts)}."
        if self.unfinished:
            names = ", ".join(result.name for result in self.unfinished)
            return f"{self.target}: no verdict, because of {names}."
        if not applied:
            return f"{self.target}: no verdict, because no law applied."
        untried = [name for name in NEEDED if self.answers[name] == "not tried"]
        if {"same_values", "same_training"} & {*untried} or not all(map(self._was_asked, untried)):
            names = "law that was tried" if applied == 1 else f"{applied} laws that were tried"
            return (
                f"{self.target}: nothing against it by the {names} ({examples:,} examples); "
                "the other laws are needed for a verdict."
            )
        driven = f" as it is called ({', '.join(self.unseen)})" if self.unseen else ""
        layers = {None: "", 1: " of one layer"}.get(self.layers, f" of {self.layers} layers")
        if self.dropout and self.layers != 1:
            layers += f" {'and' if layers else 'of'} dropout {self.dropout:g}"
        hold = f"all {applied} laws that apply hold"
        if self.refused:
            hold = f"{applied - len(self.refused)} of {applied} laws that apply hold"
        beside = [f"{QUESTIONS[name]}: not applicable" for name in untried]
        beside += [
            f"{QUESTIONS[name]}: no"
            for name in ("same_seeds_whole_sequences", "edge_inputs", "drop_in")
            if self.answers.get(name) == "no"
        ]
        return (
            f"{self.target} is interchangeable with nn.GRU{layers}{driven}: "
            f"{hold} ({'; '.join([f'{examples:,} examples', *beside])})."
        )

    @property
    def _because(self) -> str:
        """What a violated sentence says of why, and of what it can be used for all the same."""
        first, *others = self.causes
        why = first.sentence + (f" (and {len(others)} more)" if others else "")
        wrong = {name for name, answer in self.answers.items() if answer == "no"}
        if "same_values" in wrong:
            return f": {why}"
        if wrong <= IN_TRAINING:
            return f" in training: {why}; in eval it is"
        return f": {why}; its values in eval are nn.GRU's"

    @property
    def totals(self) -> dict[str, Any]:
        """How many laws have each status, how many cases were tried, and the seconds it took."""
        statuses = [one.status for one in self.results]
        return {
            "laws": len(statuses),
            **{status.replace(" ", "_"): statuses.count(status) for status in STATUSES},
            "examples": sum(one.examples for one in self.results),
            "seconds": round(sum(one.seconds for one in self.results), 3),
        }

    def _was_asked(self, answer: str) -> bool:
        """Whether all laws that decide an answer were run, though some may not apply."""
        deciding = [one for one in self.results if one.decides == NEEDED[answer]]
        names = {one.name for one in self.results}
        return bool(deciding) and all(names >= {*one.decided_by} for one in deciding)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, schema version 2."""
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "kind": self.kind,
            "convention": None if self.convention is None else list(self.convention),
            "torch_version": self.torch_version,
            "versions": dict(self.versions),
            "options": plain(self.options),
            "totals": self.totals,
            "seed": self.seed,
            "strict": self.strict,
            "is_isolated": self.is_isolated,
            "limits": dict(self.limits),
            "unseen": list(self.unseen),
            "layers": self.layers,
            "dropout": self.dropout,
            "weights": self.weights,
            "build_facts": dict(self.build_facts),
            "diagnosis": None if self.diagnosis is None else dict(self.diagnosis),
            "verdict": {"ok": self.ok, "sentence": self.sentence, **self.answers},
            "causes": [cause.to_dict() for cause in self.causes],
            "laws": [result.to_dict() for result in self.results],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Rebuild a report from its to_dict, of this version or an earlier one.

        Raises:
            BrokenReport: if the data are no report, or one of a newer version.
        """
        version = data.get("schema_version") if isinstance(data, Mapping) else None
        if not isinstance(version, int):
            raise BrokenReport("this is not a report of stackgru's: it has no schema_version.")
        if version > SCHEMA_VERSION:
            raise BrokenReport(
                f"the report has schema version {version}, and this stackgru reads "
                f"{SCHEMA_VERSION}: it needs a newer stackgru."
            )
        try:
            results = [LawResult.from_dict(law) for law in data["laws"]]
            added: dict[str, Any] = {
                "limits": {},
                "unseen": [],
                "layers": None,
                "dropout": None,
                "weights": None,
                "strict": False,
                "is_isolated": False,
                "versions": {},
                "options": {},
            }
            names = {one.name for one in fields(cls)} - {"results", *added}
            values = {name: data[name] for name in names}
            values |= {name: data.get(name, before) for name, before in added.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenReport(f"the report is incomplete or damaged: {error!r}.") from error
        return cls(results=results, **values)

    def to_json(self) -> str:
        """Return the report as JSON text; an infinite number is written as a string."""
        return json_text(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Rebuild a report from its to_json; see from_dict."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise BrokenReport(f"this is not a report of stackgru's: {error}.") from error
        return cls.from_dict(data)
