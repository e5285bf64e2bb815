"""Saved bug reports: a folder per violation, with report.json, the script and the issue text.

Two violations are the same if law, target and message are, apart from numbers: their folders have
the same name, and the later one replaces the earlier, whole or not at all.
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

from stackgru.options import StackgruError
from stackgru.outcomes import Violation
from stackgru.report.files import json_text

SCHEMA_VERSION = 1
REPORT, SCRIPT, ISSUE = "report.json", "repro.py", "issue.md"
_TRIES = 20
#: Fields of the violation that report.json holds.
_EVIDENCE = ("law", "case", "message", "place", "difference", "allowed", "problem")
_TEXTS = ("target", "kind", "law", "statement", "case", "message")


class BrokenBugReport(StackgruError):
    """A saved bug report cannot be read; the message is the reason."""


@dataclass(frozen=True)
class BugReport:
    """A violation as it is saved.

    Attributes:
        target: the target's name.
        kind: "cell" or "sequence".
        statement: the law's statement.
        violation: the violation; its problem is why the script does not show it, if so.
        convention: the options that specify the target's convention; None if none can.
        numbers: the case's numbers, flat, by their tensor's name; empty if the case draws them.
        digits: how many digits the numbers had before and after the second stage of shrinking.
        seconds: how long that took.
        versions: of python, torch and stackgru.
    """

    target: str
    kind: str
    statement: str
    violation: Violation
    convention: Sequence[str] | None = ()
    numbers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    digits: Sequence[int] = ()
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of its folder: law and message, apart from numbers."""
        law, message = self.violation.law, self.violation.message
        seen = re.sub(r"-?\d[\w.+-]*", "#", message)
        digest = hashlib.sha256(f"{self.target} {law} {seen}".encode()).hexdigest()
        return f"{law}-{digest[:8]}"


def write(folder: str | Path, report: BugReport, script: str, issue: str) -> Path:
    """Save a bug report in a folder of its own in ``folder``, and return that.

    Raises:
        OSError: if it cannot be written; what was there before still is.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{report.key}."))
    try:
        data = {"schema_version": SCHEMA_VERSION, "key": report.key, **asdict(report)}
        evidence = data.pop("violation")
        data |= {name: evidence[name] for name in _EVIDENCE}
        texts = {REPORT: json_text(data) + "\n", SCRIPT: script, ISSUE: issue}
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        return _put(temporary, folder / report.key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(new: Path, place: Path) -> Path:
    """Move a folder to its place, even if another process does so at the same time."""
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
    raise OSError(errno.EBUSY, "another process keeps writing the same bug report")


def read(folder: str | Path) -> BugReport:
    """Read a bug report from its own folder.

    Raises:
        BrokenBugReport: if report.json is missing, or is not a bug report of a known version.
    """
    path = Path(folder) / REPORT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenBugReport(f"{REPORT} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BrokenBugReport(f"{REPORT} is not JSON: {error}") from error
    if not isinstance(data, dict) or "schema_version" not in data:
        raise BrokenBugReport(f"{REPORT} is not a bug report of stackgru's")
    if data["schema_version"] != SCHEMA_VERSION:
        raise BrokenBugReport(
            f"{REPORT} has schema version {data['schema_version']!r}; this stackgru reads "
            f"{SCHEMA_VERSION}"
        )
    for name in _TEXTS:
        if not isinstance(data.get(name), str):
            raise BrokenBugReport(f"{REPORT} has no text for {name!r}")
    evidence: dict[str, Any] = {name: data.get(name) for name in _EVIDENCE}
    try:
        for name in ("difference", "allowed"):  # infinity is a text in JSON
            evidence[name] = None if evidence[name] is None else float(evidence[name])
        numbers = {name: tuple(map(float, flat)) for name, flat in data.get("numbers", {}).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise BrokenBugReport(f"{REPORT} is damaged: {error}") from error
    own = {one.name: data[one.name] for one in fields(BugReport) if one.name in data}
    return BugReport(**{**own, "numbers": numbers, "violation": Violation(**evidence)})


def folders(folder: str | Path) -> list[Path]:
    """Return the folders of all bug reports that are saved in a folder, by name.

    Raises:
        OSError: if there is no such folder.
    """
    return sorted(
        path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")
    )
