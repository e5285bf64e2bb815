"""Files are written whole or not at all; data as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that takes its place once it is written.

    Raises:
        OSError: if it cannot be written; ``path`` is then as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text, and a line break, to a file, whole or not at all; see replacing."""
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def can_be_written(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def json_text(data: Any) -> str:
    """Return data as JSON; numbers that JSON lacks, such as infinity, are written as strings."""
    return json.dumps(plain(data), indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Return data as JSON has it: no tuples, and numbers that it lacks as strings."""
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value
