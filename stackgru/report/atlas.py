"""An atlas: reports of several builds of torch beside each other, law by law and fact by fact."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stackgru.report.law_result import LawResult
from stackgru.report.report import BrokenReport, Report
from stackgru.report.terminal import readable

SCHEMA_VERSION = 1
#: What an atlas calls the status of a law.
_STATES = {"violated": "differs", "known": "differs", "refused": "not supported"}
_SHORT = {"not applicable": "n/a", "not supported": "no"}
#: Facts that are of the machine or the run, and not of the build.
_OF_MACHINE = ("python", "platform", "device")


@dataclass(frozen=True)
class Cell:
    """What became of a law, or what a fact is, on one build.

    Attributes:
        state: "holds", "differs", "not supported", "not applicable", "crashed", "timed out", "not
            run" or "not known"; of a fact its value.
        note: how it differs, or why it is not supported or not applicable.
    """

    state: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.note}" if self.note else self.state


@dataclass(frozen=True)
class Row:
    """A law, or a fact, on every build.

    Attributes:
        name: its name.
        cells: one for each build.
    """

    name: str
    cells: tuple[Cell, ...]

    @property
    def is_same(self) -> bool:
        """Whether it is the same on every build."""
        return len({*self.cells}) == 1


@dataclass(frozen=True)
class Sheet:
    """One target on every build.

    Attributes:
        target: its name.
        laws: a row for each law, in the catalogue's order.
        facts: a row for each fact that was measured.
        verdicts: each build's verdict in one sentence.
    """

    target: str
    laws: tuple[Row, ...]
    facts: tuple[Row, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Atlas:
    """Reports of several builds beside each other.

    Attributes:
        builds: their names: the version of torch, and what tells two of one version apart.
        environments: what the files say about each, such as its size and how long it took.
        sheets: one for each target.
    """

    builds: tuple[str, ...]
    environments: tuple[Mapping[str, Any], ...]
    sheets: tuple[Sheet, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the atlas as plain data."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def read(path: Path) -> tuple[list[Report], dict[str, Any]]:
    """Return the reports of a file, one or several, and what it says about their environment.

    Raises:
        BrokenReport: if it holds none that can be read; the message names the file.
        OSError: if it cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        several = data["reports"] if isinstance(data, dict) and "reports" in data else [data]
        environment = data.get("environment", {}) if isinstance(data, dict) else {}
        return [Report.from_dict(one) for one in several], environment
    except (ValueError, TypeError) as error:
        raise BrokenReport(f"{path}: this is not a report of stackgru's: {error}.") from error
    except BrokenReport as error:
        raise BrokenReport(f"{path}: {error}") from error


def atlas(files: Sequence[Path]) -> Atlas:
    """Put the reports of several files beside each other, in the order of the files.

    Raises:
        BrokenReport: if a file holds no report.
        OSError: if one cannot be read.
    """
    columns: dict[tuple[str, ...], dict[str, Report]] = {}
    environments: dict[tuple[str, ...], dict[str, Any]] = {}
    for path in files:
        reports, environment = read(path)
        for report in reports:
            facts = report.build_facts
            build = (report.torch_version, *(str(facts.get(name, "")) for name in _OF_MACHINE))
            columns.setdefault(build, {})[report.target] = report
            environments.setdefault(build, {}).update(environment)
    targets = dict.fromkeys(target for reports in columns.values() for target in reports)
    sheets = (
        _sheet(target, [reports.get(target) for reports in columns.values()]) for target in targets
    )
    return Atlas(tuple(_named([*columns])), tuple(environments.values()), tuple(sheets))


def _named(builds: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield the versions, with what else tells builds of one version apart."""
    for version, *others in builds:
        alike = [rest for one, *rest in builds if one == version]
        apart = [
            part for place, part in enumerate(others) if len({one[place] for one in alike}) > 1
        ]
        yield f"{version} ({', '.join(apart)})" if apart else version


def _sheet(target: str, reports: Sequence[Report | None]) -> Sheet:
    results = [{one.name: one for one in report.results} if report else {} for report in reports]
    facts = [dict(report.build_facts) if report else {} for report in reports]
    return Sheet(
        target,
        tuple(
            Row(name, tuple(_law_cell(found.get(name)) for found in results))
            for name in _all_names(results)
        ),
        tuple(
            Row(
                name.replace("_", " "),
                tuple(
                    Cell(readable(found[name]) if name in found else "not known") for found in facts
                ),
            )
            for name in _all_names(facts)
        ),
        tuple(report.sentence if report else "not checked" for report in reports),
    )


def _all_names(found: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


def _law_cell(result: LawResult | None) -> Cell:
    if result is None:
        return Cell("not known")
    state = _STATES.get(result.status, result.status)
    if result.violation is not None:
        return Cell(state, result.violation.message)
    return Cell(state, (result.reason or "") if state != "holds" else "")


def by_cell(row: Row, builds: Sequence[str]) -> Iterator[tuple[str, Cell]]:
    """Yield what a row says, and of which builds, those next to each other as "first to last"."""
    places: dict[Cell, list[int]] = {}
    for place, cell in enumerate(row.cells):
        places.setdefault(cell, []).append(place)
    for cell, found in places.items():
        spans: list[list[int]] = []
        for place in found:
            if spans and spans[-1][-1] == place - 1:
                spans[-1].append(place)
            else:
                spans.append([place])
        texts = (
            f"{builds[one[0]]} to {builds[one[-1]]}"
            if len(one) > 2
            else ", ".join(builds[place] for place in one)
            for one in spans
        )
        yield ", ".join(texts), cell


def text(found: Atlas, width: int) -> str:
    """Return an atlas as text: what is the same on every build in a line, all else in full."""
    count = len(found.builds)
    lines = [f"{count} build{'s' * (count != 1)} of torch: {_first_to_last(found.builds)}"]
    for sheet in found.sheets:
        lines += ["", sheet.target, *_wrapped(_summary(sheet), width)]
        for row in (*sheet.laws, *sheet.facts):
            if not row.is_same:
                lines += ["", f"  {row.name}"]
                for builds, cell in by_cell(row, found.builds):
                    lines += _wrapped(f"  {builds}: {cell}", width)
    return "\n".join(lines) + "\n"


def markdown(found: Atlas) -> str:
    """Return an atlas as Markdown: a table of laws and one of facts for each target, then notes.

    Of two builds the tables have what differs between them only.
    """
    lines = [*_environments(found)]
    for sheet in found.sheets:
        notes: dict[str, int] = {}
        lines += [f"## {sheet.target}", "", f"{_summary(sheet)}", ""]
        for what, rows in (("law", sheet.laws), ("fact of the build", sheet.facts)):
            shown = [row for row in rows if len(found.builds) != 2 or not row.is_same]
            if shown:
                lines += [_line([what, *found.builds]), _line(["---"] * (len(found.builds) + 1))]
                lines += [_line([row.name, *_marks(row, notes)]) for row in shown]
                lines.append("")
        lines += [*(f"{number}. {_escaped(note)}" for note, number in notes.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _environments(found: Atlas) -> Iterator[str]:
    """Yield the lines of a table of what the files say about the environments, if they do."""
    names = [name for name in _all_names(found.environments) if name not in ("name", "code")]
    if names:
        yield _line(["torch", *(name.replace("_", " ") for name in names)])
        yield _line(["---"] * (len(names) + 1))
        for build, one in zip(found.builds, found.environments, strict=True):
            yield _line([build, *(str(one.get(name, "")) for name in names)])
        yield ""


def _summary(sheet: Sheet) -> str:
    """Return what is the same on every build, in one sentence for each state."""
    same = [row for row in sheet.laws if row.is_same]
    sentences = []
    for state in dict.fromkeys(row.cells[0].state for row in same):
        names = [row.name for row in same if row.cells[0].state == state]
        which = "" if state == "holds" else f": {', '.join(names)}"
        sentences.append(f"{state} on every build{which} ({len(names)})")
    sentences.append(f"differs between builds ({len(sheet.laws) - len(same)})")
    return f"Of {len(sheet.laws)} laws: {'; '.join(sentences)}."


def _marks(row: Row, notes: dict[str, int]) -> Iterator[str]:
    """Yield a row's cells, with numbers in place of their notes."""
    for cell in row.cells:
        mark = _SHORT.get(cell.state, cell.state)
        number = notes.setdefault(cell.note, len(notes) + 1) if cell.note else None
        yield f"{mark} [{number}]" if number else mark


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(one: str) -> str:
    return " ".join(one.split()).replace("|", "\\|")


def _wrapped(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)


def _first_to_last(builds: Sequence[str]) -> str:
    return f"{builds[0]} to {builds[-1]}" if len(builds) > 2 else " and ".join(builds)
