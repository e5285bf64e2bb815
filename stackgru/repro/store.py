"""Saved reports: a folder for each violation, with report.json, the script and the issue text.

Two violations are the same where law, target and what was seen are, numbers apart: their folders
have the same name, and the later one takes the place of the earlier, whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
REPORT, SCRIPT, ISSUE = "report.json", "repro.py", "issue.md"
_TRIES = 20


class BrokenReport(Exception):
    """A saved report cannot be read; the message says why."""


@dataclass(frozen=True)
class SavedReport:
    """A violation as it is saved.

    Attributes:
        target: the target's name.
        kind: "cell" or "sequence".
        law: the law's name.
        statement: its statement.
        case: text of the smallest case.
        message: what was seen and expected.
        convention: the options that tell the target's convention; None where only a Convention can.
        numbers: the case's numbers, flat, by the name of their tensor; none where it draws them.
        place: where the two first part.
        difference: the largest difference, where values are compared.
        allowed: what is allowed at the same place.
        problem: why the script does not show the violation; None if it does.
        digits: how many digits the numbers had before and after the second stage of shrinking.
        seconds: how long that took.
        versions: of python, torch and stackgru.
    """

    target: str
    kind: str
    law: str
    statement: str
    case: str
    message: str
    convention: Sequence[str] | None = ()
    numbers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    place: str | None = None
    difference: float | None = None
    allowed: float | None = None
    problem: str | None = None
    digits: Sequence[int] = ()
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of its folder: law and what was seen, numbers apart."""
        seen = re.sub(r"-?\d[\w.+-]*", "#", self.message)
        digest = hashlib.sha256(f"{self.target} {self.law} {seen}".encode()).hexdigest()
        return f"{self.law}-{digest[:8]}"


def write(folder: str | Path, report: SavedReport, script: str, issue: str) -> Path:
    """Save a report.

    Args:
        folder: where the folders of all reports are; made if it is not there.
        report: the report.
        script: the text of its script.
        issue: the text of its issue.

    Returns:
        The report's own folder.

    Raises:
        OSError: if it cannot be written; what stood there before still does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{report.key}."))
    try:
        data = {"schema_version": SCHEMA_VERSION, "key": report.key, **asdict(report)}
        texts = {REPORT: json.dumps(_plain(data), indent=2) + "\n", SCRIPT: script, ISSUE: issue}
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        return _put(temporary, folder / report.key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(new: Path, place: Path) -> Path:
    """Move a folder to its place; another process may do so at the same time."""
    for _ in range(_TRIES):
        try:
            os.rename(new, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return place
        old = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.old."))
        try:
            os.rename(place, old)
        except FileNotFoundError:  # the other one has just moved it away
            pass
        finally:
            shutil.rmtree(old, ignore_errors=True)
    raise OSError(errno.EBUSY, "another process keeps writing the same report")


def read(folder: str | Path) -> SavedReport:
    """Read a saved report.

    Args:
        folder: the report's own folder.

    Returns:
        The report.

    Raises:
        BrokenReport: if report.json is not there, or not a report of a known version.
    """
    path = Path(folder) / REPORT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenReport(f"{REPORT} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BrokenReport(f"{REPORT} is not JSON: {error}") from error
    if not isinstance(data, dict) or "schema_version" not in data:
        raise BrokenReport(f"{REPORT} is not a report of stackgru's")
    if data["schema_version"] != SCHEMA_VERSION:
        raise BrokenReport(
            f"{REPORT} has schema version {data['schema_version']!r}; this stackgru knows "
            f"{SCHEMA_VERSION}"
        )
    known = {one.name for one in fields(SavedReport)}
    texts = ("target", "kind", "law", "statement", "case", "message")
    for name in texts:
        if not isinstance(data.get(name), str):
            raise BrokenReport(f"{REPORT} has no text for {name!r}")
    return SavedReport(**{name: value for name, value in data.items() if name in known})


def folders(folder: str | Path) -> list[Path]:
    """Return the folders of all reports that are saved in a folder, by name.

    Raises:
        OSError: if there is no such folder.
    """
    return sorted(
        path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _plain(value: Any) -> Any:
    """Replace what JSON has no number for by its text."""
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
