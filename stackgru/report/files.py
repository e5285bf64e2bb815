"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a file beside ``path`` to write to, and put it in its place once that is done.

    Args:
        path: where the file is to be.

    Yields:
        The path of an empty file.

    Raises:
        OSError: if it cannot be written; what stood at ``path`` before still does.
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
    """Write a file whole or not at all.

    Args:
        path: where.
        text: what; a line break is added.

    Raises:
        OSError: if it cannot be written; what stood there before still does.
    """
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
