"""Known violations to ignore, each with a reason."""

from __future__ import annotations

from pathlib import Path

from stackgru.laws.names import NAMES
from stackgru.options import UsageError, did_you_mean

Known = tuple[tuple[str, str], ...]


def known_violations(known: Known | str, root: Path) -> Known:
    """Return known violations as pairs of law and reason, read from a file if they are a path."""
    if isinstance(known, str):
        return read_known(root / known)
    for law, _ in known:
        _check_law(law, "known")
    return known


def read_known(path: str | Path) -> Known:
    """Read a text file of lines ``law: reason``; empty ones, and those with # first, are skipped.

    Raises:
        UsageError: if the file cannot be read, or a line has no law of ours or no reason.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"the known violations cannot be read from {path}: {reason}.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        law, colon, reason = (part.strip() for part in line.partition(":"))
        where = f"{path}, line {number}"
        if not colon or not reason:
            raise UsageError(f"{where}: expected a law and a reason, 'law: reason', got {line!r}.")
        _check_law(law, where)
        if law in found:
            raise UsageError(f"{where}: {law} is listed twice.")
        found[law] = reason
    return tuple(found.items())


def _check_law(name: str, where: str) -> None:
    if name not in NAMES:
        hint = did_you_mean(name, NAMES, cutoff=0.4) or "; `stackgru laws` lists them."
        raise UsageError(f"{where}: no law is called {name!r}{hint}")
