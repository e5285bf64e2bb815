"""Violations that are known: a file of laws, each with the reason why it is to be let be."""

from __future__ import annotations

from pathlib import Path

from stackgru.laws.registry import all_laws
from stackgru.options import UsageError, did_you_mean


def read_known(path: str | Path) -> tuple[tuple[str, str], ...]:
    """Read a file of known violations.

    Args:
        path: a text file with a line ``law: reason`` for each; empty lines and lines that start
            with # are left out.

    Returns:
        Names of laws, each with the reason.

    Raises:
        UsageError: if the file cannot be read, or a line names no law or gives no reason.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UsageError(f"the known violations cannot be read from {path}: {reason}.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        law, colon, reason = (part.strip() for part in line.partition(":"))
        where = f"{path}, line {number}"
        if not colon or not reason:
            raise UsageError(f"{where}: expected a law and a reason, 'law: reason', got {line!r}.")
        laws = all_laws()
        if law not in laws:
            hint = did_you_mean(law, laws, cutoff=0.4) or "; `stackgru laws` lists them."
            raise UsageError(f"{where}: no law is called {law!r}{hint}")
        if law in found:
            raise UsageError(f"{where}: {law} is there twice.")
        found[law] = reason
    return tuple(found.items())
