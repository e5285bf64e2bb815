"""What came out, kept in a file of JSON lines, so that a run that is interrupted goes on."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

import stackgru
from tests.nightly.kill_matrix.catalogue import Subject
from tests.subjects import plain_test, seed_example

#: What a user would write instead; kept and shown next to the laws.
SEED_EXAMPLE, PLAIN_TEST = "seed's example", "plain Hypothesis"
METHODS = (SEED_EXAMPLE, PLAIN_TEST)

#: Not a law: one whole run of the command that stops at the first violation.
FIRST = "check -x"

_KEY = ("subject", "law", "code")

#: What a run of a law came to; see stackgru.report.report.LawResult.
Result = dict[str, Any]


class Store:
    """The results so far: of a subject, a law and a seed, for the code as it is now.

    Args:
        path: the file of JSON lines; read now, and appended to.
        max_examples: the budget that results are for.
    """

    def __init__(self, path: str, max_examples: int) -> None:
        self.max_examples = max_examples
        self._path = Path(path)
        self._lock = threading.Lock()
        self._results: dict[tuple[str, str, str], dict[int, Result]] = defaultdict(dict)
        self._caught: Counter[tuple[str, str]] = Counter()
        self._codes: dict[tuple[Subject, bool], str] = {}
        if self._path.exists():
            self._read(self._path.read_text(encoding="utf-8"))

    def get(self, subject: Subject, law: str, seed: int) -> Result | None:
        """Return a result, or None if there is none yet."""
        return self._of(subject, law).get(seed)

    def add(self, subject: Subject, law: str, seed: int, result: Result) -> None:
        """Keep a result, and write it to the file at once."""
        key = self._key(subject, law)
        named = dict(zip(_KEY, key, strict=True))
        line = json.dumps({**named, "seed": seed, **result}) + "\n"
        with self._lock:
            self._keep(key, seed, result)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)

    def of(self, subject: Subject, laws: Iterable[str]) -> Iterator[tuple[str, int, Result]]:
        """Iterate over the results of some laws on a subject, seed by seed."""
        found = {law: self._of(subject, law) for law in laws}
        for seed in sorted({seed for results in found.values() for seed in results}):
            for law, results in found.items():
                if seed in results:
                    yield law, seed, results[seed]

    def likely(self, subject: Subject, law: str) -> tuple[int, int]:
        """How often a law caught this fault, and others of its file, whatever the code was then."""
        return self._caught[subject.spec, law], self._caught[_file(subject.spec), law]

    def _keep(self, key: tuple[str, str, str], seed: int, result: Result) -> None:
        spec, law, _ = key
        self._results[key][seed] = result
        if result["status"] == "violated":
            self._caught.update([(spec, law), (_file(spec), law)])

    def _of(self, subject: Subject, law: str) -> dict[int, Result]:
        return self._results.get(self._key(subject, law), {})

    def _key(self, subject: Subject, law: str) -> tuple[str, str, str]:
        return subject.spec, law, self._code(subject, law in METHODS)

    def _code(self, subject: Subject, method: bool) -> str:
        if (subject, method) not in self._codes:
            parts = [source_of(method), subject.source, self.max_examples, subject.strict]
            code = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
            self._codes[subject, method] = code
        return self._codes[subject, method]

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            try:
                result = json.loads(line)
                key, seed = tuple(result.pop(name) for name in _KEY), result.pop("seed")
            except (ValueError, KeyError):
                continue  # cut off by an interruption
            self._keep(key, seed, result)
        if text and not text.endswith("\n"):
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")


def _file(spec: str) -> str:
    return spec.rpartition(":")[0]


@functools.cache
def source_of(methods: bool) -> str:
    """Fingerprint torch's version and the text of stackgru, or of what a user would write."""
    package = Path(stackgru.__file__).parent
    files = sorted(package.rglob("*.py"))
    if methods:
        files = [Path(seed_example.__file__), Path(plain_test.__file__)]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return hashlib.sha256(f"{torch.__version__}\n{text}".encode()).hexdigest()
