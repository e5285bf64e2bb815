"""Which law is run next on which subject, for each thing that may be asked for."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from stackgru.options import Options
from tests.nightly.kill_matrix.catalogue import Subject
from tests.nightly.kill_matrix.crew import Crew
from tests.nightly.kill_matrix.results import FIRST, METHODS, Result, Store

#: The seed with which the time to the first violation is measured.
FIRST_SEED = 1


class Plan(Protocol):
    """Tells for a subject which law is run next, for which seed, once the last has its result."""

    def __call__(self, subject: Subject, store: Store) -> Iterator[tuple[str, int]]: ...


@dataclass(frozen=True)
class Full:
    """Every law for one seed."""

    laws: Sequence[str]
    seed: int

    def __call__(self, subject: Subject, store: Store) -> Iterator[tuple[str, int]]:
        for law in (*self.laws, *METHODS):
            yield law, self.seed


@dataclass(frozen=True)
class Seeds:
    """For each of many seeds the laws up to the first violation, the fastest so far first."""

    laws: Sequence[str]
    seeds: Sequence[int]

    def __call__(self, subject: Subject, store: Store) -> Iterator[tuple[str, int]]:
        for seed in self.seeds:
            if not self._is_caught(subject, store, seed):
                for law in self._fastest_first(subject, store):
                    yield law, seed
                    if self._is_caught(subject, store, seed):
                        break
        for method in METHODS:
            yield method, self.seeds[0]

    def _is_caught(self, subject: Subject, store: Store, seed: int) -> bool:
        found = (store.get(subject, law, seed) for law in self.laws)
        return any(result["status"] == "violated" for result in found if result)

    def _fastest_first(self, subject: Subject, store: Store) -> list[str]:
        # What the project says explains it goes first of those that nothing is known of, then what
        # caught others of its file; a law that did not catch it for some seed goes last.
        cost = {law: (1.0 if law == subject.law else 2.0, 0.0) for law in self.laws}
        likely = {law: store.likely(subject, law) for law in self.laws}
        for law, _, result in store.of(subject, self.laws):
            if result["status"] == "violated":
                known = cost[law] if cost[law][0] == 0 else (0.0, math.inf)
                cost[law] = min(known, (0.0, result["seconds"]))
            elif cost[law][0] != 0:
                cost[law] = (3.0, 0.0)
        return sorted(self.laws, key=lambda law: (cost[law], [-number for number in likely[law]]))


@dataclass(frozen=True)
class Examples:
    """Every law for as many seeds as it takes to try so many law examples on the subject."""

    laws: Sequence[str]
    seed: int
    examples: int

    def __call__(self, subject: Subject, store: Store) -> Iterator[tuple[str, int]]:
        tried = 0
        for method in METHODS:
            yield method, self.seed
        for seed in itertools.count(self.seed):
            for law in self.laws:
                yield law, seed
            found = [store.get(subject, law, seed) for law in self.laws]
            new = sum(result["examples"] for result in found if result)
            tried += new
            if tried >= self.examples or not new:
                return


def run(
    plan: Plan, subjects: Iterable[Subject], store: Store, crew: Crew, options: Options
) -> Iterator[tuple[Subject, float, int]]:
    """Run a plan on all subjects, leaving out what the store has.

    Yields:
        Each subject that is done, the seconds it took, and how many results are new.
    """

    def job(subject: Subject) -> tuple[Subject, float, int]:
        started, new = time.perf_counter(), 0
        # A violation of a right variant is to be read; of a fault only that there is one.
        own = replace(options, strict=subject.strict, shrink=not subject.is_fault)
        with crew.worker(subject.spec, own) as worker:
            for law, seed in plan(subject, store):
                if store.get(subject, law, seed) is None:
                    store.add(subject, law, seed, worker.ask(law, seed))
                    new += 1
        return subject, time.perf_counter() - started, new

    yield from crew.run([_bound(job, subject) for subject in subjects])


def run_first(
    subjects: Iterable[Subject], store: Store, crew: Crew, options: Options
) -> Iterator[tuple[Subject, float, int]]:
    """Run the command itself on all subjects up to the first violation; see run."""

    def job(subject: Subject) -> tuple[Subject, float, int]:
        if store.get(subject, FIRST, FIRST_SEED) is not None:
            return subject, 0.0, 0
        result = _check(subject, options)
        if not crew.stopped.is_set():
            store.add(subject, FIRST, FIRST_SEED, result)
        return subject, result["seconds"], 1

    yield from crew.run([_bound(job, subject) for subject in subjects])


def _bound(job, subject: Subject):  # type: ignore[no-untyped-def]
    return lambda: job(subject)


def _check(subject: Subject, options: Options) -> Result:
    """Run ``stackgru check SUBJECT -- -x``, and time it until it tells a violation.

    From the start of the process, with all that a user waits for. What the target is, which is
    looked for after that, is not waited for.
    """
    command = [
        *(sys.executable, "-m", "stackgru", "check", subject.spec),
        *("--seed", str(FIRST_SEED), "--timeout", str(options.timeout)),
        *(f"--laws={law}" for law in options.laws),
        *(["--strict"] if subject.strict else []),
        *([f"--max-examples={options.max_examples}"] if options.max_examples else []),
        *("--", "-x"),
    ]
    started = time.perf_counter()
    told = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told.append(line)
            found = _VIOLATED.search(line)
            if found:
                seconds = round(time.perf_counter() - started, 3)
                process.kill()
                return {
                    "status": "violated",
                    "examples": int(found[2].replace(",", "")),
                    "seconds": seconds,
                    "message": found[1],
                }
    return {
        "status": "holds" if process.returncode == 0 else "crashed",
        "examples": 0,
        "seconds": round(time.perf_counter() - started, 3),
        "message": None if process.returncode == 0 else "".join(told).strip()[-500:],
    }


#: As stackgru.report.progress tells a violation: its law, and by which example.
_VIOLATED = re.compile(r"\] (\S+) +violated +by example ([\d,]+)")
