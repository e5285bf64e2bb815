"""Where Hypothesis keeps examples: each law and target apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from hypothesis.database import ExampleDatabase


class NamespacedDatabase(ExampleDatabase):
    """A part of a database, with keys of its own, that outlives the database.

    Hypothesis' keys are a function's source, which all laws and targets share here; and it does
    not shrink again what it finds under a key. A database on a server may go away in mid-run.

    Args:
        whole: the database.
        name: what the part is called.
        saved: called after an example was saved.

    Attributes:
        problem: the first error of the database, which is not raised; None if there was none.
    """

    def __init__(
        self, whole: ExampleDatabase, name: str, saved: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__()
        self._saved = saved
        self._whole = whole
        self._name = name.encode() + b"\0"
        self.problem: Exception | None = None

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example."""
        with self._outlived():
            self._whole.save(self._name + key, value)
        self._saved()

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Return all examples of a key."""
        found: list[bytes] = []
        with self._outlived():
            for one in self._whole.fetch(self._name + key):
                found.append(one)  # what came before an error counts
        return found

    def delete(self, key: bytes, value: bytes) -> None:
        """Remove an example, if it is there."""
        with self._outlived():
            self._whole.delete(self._name + key, value)

    @contextmanager
    def _outlived(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of whichever client
            self.problem = self.problem or error
