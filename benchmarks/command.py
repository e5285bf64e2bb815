"""What the command costs: its start, the default check, the first violation, a second worker.

    python -m benchmarks.command
    python -m benchmarks.command --against path/to/python

With --against, the same is measured of the stackgru of another environment, in turns with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
_STARTS = (["--help"], ["--version"], ["check", "--laws", "equatoin"], ["chekc"])


def started(python: str, words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start the command in a folder in which only the catalogue of faults can be imported."""
    return subprocess.Popen(
        [python, "-m", "stackgru", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def whole(python: str, words: list[str], folder: Path) -> float:
    """Return the seconds that a command takes."""
    begun = time.perf_counter()
    started(python, words, folder).communicate()
    return time.perf_counter() - begun


def first_violation(python: str, target: str, folder: Path) -> float:
    """Return the seconds until a check shows a violation, and end it."""
    begun = time.perf_counter()
    process = started(python, ["check", target, "--seed", "1"], folder)
    assert process.stderr is not None
    for line in process.stderr:
        if " violated " in line:
            break
    seconds = time.perf_counter() - begun
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate()
    return seconds


def rate(python: str, workers: int, folder: Path) -> float:
    """Return the examples per second of thorough checks of values with so many workers."""
    report = folder / "report.json"
    words = ["check", "--profile", "thorough", "--laws", "values", "--seed", "1"]
    seconds = whole(python, [*words, "-n", str(workers), "--json", str(report)], folder)
    return float(sum(law["examples"] for law in json.loads(report.read_text())["laws"]) / seconds)


def compared(name: str, works: list[Callable[[], float]], repeat: int, unit: str = "s") -> None:
    """Print the medians of works that take turns, and the first's ratio to each."""
    rounds = [[work() for work in works] for _ in range(repeat)]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratios = [statistics.median(row[0] / row[at] for row in rounds) for at in range(1, len(works))]
    values = " ".join(f"{value:>9.2f} {unit}" for value in medians)
    print(f"{name:<40}{values}   ratios {', '.join(f'{one:.2f}' for one in ratios)}", flush=True)


def faults(every: int) -> list[str]:
    """Return the names of every so-manieth fault of the catalogue."""
    sys.path.insert(0, str(ROOT))
    from tests.subjects.catalogue import CELLS, SEQUENCES

    chosen = [*CELLS, *SEQUENCES][::every]
    return [f"{one.__module__}:{one.__qualname__}" for one in chosen]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="PYTHON", help="the Python of another environment")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--every", type=int, default=15, help="of how many faults one is tried")
    given = parser.parse_args()
    pythons = [sys.executable, *([given.against] if given.against else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tests").symlink_to(ROOT / "tests")
        for words in _STARTS:
            works = [lambda p=p, w=words: whole(p, w, folder) for p in pythons]
            compared(f"stackgru {' '.join(words)}", works, 5 * given.repeat)
        ways = [([], pythons[0]), (["-n", "1"], pythons[0])]
        ways += [(words, other) for other in pythons[1:] for words in ([], ["-n", "2"])]
        works = [
            lambda p=p, w=words: whole(p, ["check", "--seed", "1", *w], folder) for words, p in ways
        ]
        titles = [
            f"{'here' if p == pythons[0] else 'there'} {' '.join(w)}".strip() for w, p in ways
        ]
        compared(f"default check: {', '.join(titles)}", works, given.repeat)
        rows = [[first_violation(p, one, folder) for p in pythons] for one in faults(given.every)]
        later = [row[0] - row[-1] for row in rows]
        medians = ", ".join(
            f"{statistics.median(column):.2f} s" for column in zip(*rows, strict=True)
        )
        print(
            f"first violation, {len(rows)} faults: {medians}; later by "
            f"{statistics.median(later):.2f} s in the median"
        )
        works = [lambda n=n: rate(pythons[0], n, folder) for n in (2, 1)]
        compared("thorough, 2 and 1 workers", works, 1, "examples/s")


if __name__ == "__main__":
    main()
