"""The table: each implementation that is installed, checked, as a row of Markdown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from examples.implementations.base import IMPLEMENTATIONS, Implementation

ROOT = Path(__file__).parents[2]

#: The answers in the order of a report's, with their columns' heads.
ANSWERS = {
    "same_values": "same values",
    "same_training": "training",
    "same_seeds_one_step": "one step",
    "same_seeds_whole_sequences": "sequence",
    "same_gradients": "same gradients",
    "safe_conduct": "safe conduct",
}
_HEADS = ("implementation", "says it is", *ANSWERS.values(), "is", "case that shows it")
HEAD = "\n".join(("| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"))

#: The laws whose violations show most, first the one that shows most.
MOST_TELLING = ("equation", "one-step", "same-masks", "layouts")


@dataclass(frozen=True)
class Outcome:
    """The result of checking one implementation.

    Attributes:
        one: the implementation.
        version: its package's version, or None if it is not installed.
        report: the report as plain data, or None if there is none.
        reason: why there is no report.
    """

    one: Implementation
    version: str | None = None
    report: Mapping[str, Any] | None = None
    reason: str = ""


def checked(
    one: Implementation, *, max_examples: int, laws: Sequence[str] = (), limit: float = 600
) -> Outcome:
    """Check an implementation in a process of its own, in an empty folder, with seed 1.

    Args:
        one: the implementation.
        max_examples: examples per law.
        laws: patterns of law names; all if empty.
        limit: seconds it may take.
    """
    try:
        version = metadata.version(one.distribution)
    except metadata.PackageNotFoundError:
        return Outcome(one, reason=f"{one.distribution} is not installed")
    options = {"name": one.name, "max_examples": max_examples, "laws": list(laws)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        module = "examples.implementations.child"
        command = [sys.executable, "-m", module, str(file), json.dumps(options)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "torch"}
        try:
            process = subprocess.run(  # noqa: S603 - this very Python, and our own module
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return Outcome(one, version, reason=f"it took longer than {limit:g} seconds")
        if not file.exists():
            last = (process.stderr.strip().splitlines() or ["nothing was printed"])[-1]
            reason = f"its process ended with status {process.returncode}: {last}"
            return Outcome(one, version, reason=reason)
        report = json.loads(file.read_text())
    if "error" in report:
        return Outcome(one, version, reason=report["error"])
    return Outcome(one, version, report)


def row(outcome: Outcome) -> str:
    """Return an outcome that has a report as a row of the table."""
    report = outcome.report
    assert report is not None  # noqa: S101
    answers = [_short(report["verdict"][name]) for name in ANSWERS]
    name = f"{outcome.one.distribution} {outcome.version} `{outcome.one.name}`"
    cells = (name, outcome.one.says, *answers, _what(outcome), _shown_by(report))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(answer: str) -> str:
    return "-" if answer == "not tried" else answer


def _what(outcome: Outcome) -> str:
    report = outcome.report or {}
    if report["verdict"]["ok"]:
        in_order = report["verdict"]["same_seeds_whole_sequences"] != "no"
        return "`nn.GRU`" + ("" if in_order else ", masks drawn in time order")
    what, remark = _diagnosed(report), outcome.one.remark
    return f"{what}. *Ours:* {remark}" if remark else what


def _diagnosed(report: Mapping[str, Any]) -> str:
    """Return the checker's diagnosis of a target that is not interchangeable."""
    diagnosis = report["diagnosis"]
    if diagnosis is None:  # made only if values, training or seeds differ
        return "`nn.GRU` in its values"
    if diagnosis["variants"]:
        return diagnosis["sentence"].partition(" (agrees on ")[0].replace("nn.GRU", "`nn.GRU`", 1)
    in_time = not diagnosis["sentence"].startswith("could not be compared")
    what = "no known variant" if in_time else "not found in the time limit"
    holding = [law["name"] for law in report["laws"] if law["status"] == "holds"]
    return f"{what}; the law `equation` holds" if "equation" in holding else what


def _shown_by(report: Mapping[str, Any]) -> str:
    """Return the law and the case of the most telling violation."""
    found = {law["name"]: law for law in report["laws"] if law["violation"]}
    if not found:
        applied = [law for law in report["laws"] if law["status"] != "not applicable"]
        return f"none: {sum(law['examples'] for law in applied)} examples of {len(applied)} laws"
    shown = next((name for name in MOST_TELLING if name in found), next(iter(found)))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"`{shown}`{more}: `{found[shown]['violation']['case']}`"


def write_page(path: Path, summary: str, rows: Sequence[str], lines: Sequence[str]) -> None:
    """Replace rows of the table on a page, and the lines below it; rows of others stay."""
    above, heading, below = path.read_text().partition("## The table\n")
    if not heading:
        raise ValueError(f"{path} has no line '## The table'")
    own = {_name(line): line for line in rows}
    kept = {
        _name(line): line for line in below.splitlines() if line.startswith("| ") and "`" in line
    }
    order = {one.name: number for number, one in enumerate(IMPLEMENTATIONS)}
    every = {name: line for name, line in {**kept, **own}.items() if name in order}
    table = [every[name] for name in sorted(every, key=order.__getitem__)]
    left = [line for line in lines if line.split("`")[1] not in every]
    without = "\n".join(["Without a row:", "", *left, ""]) if left else ""
    parts = (f"{above}{heading}", f"{summary}\n", "\n".join([HEAD, *table, ""]), without)
    path.write_text("\n".join(filter(None, parts)))


def _name(row: str) -> str:
    """Return the implementation that a row is of."""
    return row.split("`")[1]


def missing(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line of Markdown for each implementation without a row, with the reason."""
    return [
        f"- `{outcome.one.name}`{f' ({outcome.version})' if outcome.version else ''}: "
        f"{outcome.reason}"
        for outcome in outcomes
        if outcome.report is None
    ]
