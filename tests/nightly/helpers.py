"""What the parts share: their settings, the subjects, and one law run on one subject."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import stackgru
from stackgru.engine.run import LawRun
from stackgru.engine.select import select
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.importing import TargetError, describe_error, import_target
from stackgru.targets.target import Target
from tests.nightly.__main__ import parse
from tests.subjects import catalogue, classes_in
from tests.subjects.right.cells import RIGHT_CELLS
from tests.subjects.right.sequences import RIGHT_SEQUENCES

_PUBLIC = {nn.GRU: "torch.nn:GRU", stackgru.StackingGRUCell: "stackgru:StackingGRUCell"}


#: What ``python -m tests.nightly`` passes on.
SETTINGS = parse([])
vars(SETTINGS).update(json.loads(os.environ.get("STACKGRU_NIGHTLY", "{}")))


def recorded(part: str = "") -> list[dict[str, Any]]:
    """Return what earlier runs of this part, or another, recorded, whatever the code was then."""
    path = Path(SETTINGS.results) if getattr(SETTINGS, "results", None) else None
    if path and part:
        path = path.with_name(f"{part}.jsonl")
    lines = path.read_text().splitlines() if path and path.exists() else ()
    return [json.loads(line) for line in lines]


def caught_before() -> dict[str, list[str]]:
    """Return the laws that caught each fault before, most often first, to begin with them."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in recorded("faults"):
        found[line["fault"]].update(line.get("caught_by", [])[:1])
    return {name: [law for law, _ in laws.most_common()] for name, laws in found.items()}


@dataclass(frozen=True)
class Subject:
    """An implementation that is known to be right or wrong, named as ``stackgru check`` takes it.

    ``explained_by`` are the laws that explain a fault best, ``near`` those that explain others of
    its file.
    """

    spec: str
    strict: bool = False
    explained_by: tuple[str, ...] = ()
    near: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name without its module."""
        return self.spec.rpartition(":")[2]


def faults() -> list[Subject]:
    """Return the catalogue's faults, or the user's own."""
    if SETTINGS.faults or SETTINGS.right:
        return _chosen(Subject(spec, SETTINGS.strict) for spec in _named(SETTINGS.faults))
    laws = catalogue.CAUGHT_BY.items()
    return _chosen(
        Subject(
            _spec(fault),
            fault in catalogue.REFUSALS,
            tuple(law for law, one in laws if one is fault),
            tuple(law for law, one in laws if one.__module__ == fault.__module__),
        )
        for fault in catalogue.FAULTS
    )


def right() -> list[Subject]:
    """Return the project's right variants, or the user's own."""
    if SETTINGS.faults or SETTINGS.right:
        return _chosen(Subject(spec) for spec in _named(SETTINGS.right))
    own = (stackgru.StackingGRUCell, *RIGHT_CELLS, *RIGHT_SEQUENCES, nn.GRU)
    return _chosen(Subject(_spec(one)) for one in dict.fromkeys(own))


def _chosen(subjects: Iterable[Subject]) -> list[Subject]:
    unique = dict.fromkeys(subjects)
    return [one for one in unique if fnmatch.fnmatchcase(one.name, SETTINGS.only)]


def _spec(factory: type[nn.Module]) -> str:
    return _PUBLIC.get(factory, f"{factory.__module__}:{factory.__qualname__}")


def _named(names: Iterable[str]) -> list[str]:
    return [spec for name in names for spec in ([name] if ":" in name else _defined_in(name))]


def _defined_in(place: str) -> list[str]:
    """Return every module class that a file defines and that has a docstring."""
    module = sys.modules[import_target(f"{place}:__name__")]
    found = [one for one in classes_in(module.__name__) if vars(one).get("__doc__")]
    if not found:
        raise TargetError(f"{place} defines no torch.nn.Module with a docstring.")
    return [f"{place}:{one.__name__}" for one in found]


def chosen_laws() -> list[str]:
    """Return the names of the laws to run."""
    return [law.name for law in select(Options(laws=SETTINGS.laws))]


def run_law(target: Target, law: str, seed: int, **options: Any) -> dict[str, Any]:
    """Return what became of one law with one seed; only "violated" is a violation."""
    chosen = Options(profile="default", max_examples=SETTINGS.max_examples, seed=seed, **options)
    run, message = LawRun(target, all_laws()[law], chosen), None
    try:
        run.run()
    except (Violated, pytest.skip.Exception, pytest.fail.Exception):
        pass
    except (Exception, SystemExit) as error:  # a subject may raise anything
        message = describe_error(error)
    result = run.result
    if result is None:
        return {"status": "crashed", "examples": 0, "ratio": 0.0, "message": message}
    found = result.violation
    return {
        "status": result.status,
        "examples": result.examples,
        "ratio": result.ratio,
        "message": f"{found.message}; {found.case}" if found else message or result.reason,
        "finding": found,
    }
