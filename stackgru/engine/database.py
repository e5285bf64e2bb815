"""Where Hypothesis keeps examples: each law and target apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis.database import ExampleDatabase


class NamespacedDatabase(ExampleDatabase):
    """A part of a database, with keys of its own.

    Hypothesis' keys are a function's source, which all laws and targets share here; and it does
    not shrink again what it finds under a key.

    Args:
        whole: the database.
        name: what the part is called.
        saved: called after an example was saved.
    """

    def __init__(
        self, whole: ExampleDatabase, name: str, saved: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__()
        self._saved = saved
        self._whole = whole
        self._name = name.encode() + b"\0"

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example."""
        self._whole.save(self._name + key, value)
        self._saved()

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Yield all examples of a key."""
        return self._whole.fetch(self._name + key)

    def delete(self, key: bytes, value: bytes) -> None:
        """Remove an example, if it is there."""
        self._whole.delete(self._name + key, value)
