"""The command ``python -m tests.nightly``; see --help."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.nightly import summary as summary_of

ROOT = Path(__file__).parents[2]

#: The parts in the order in which they run, each with what its results depend on besides stackgru/
#: and the subjects.
PARTS = {
    "faults": (),
    "right": (),
    "diagnoses": (),
    "scripts": (),
    "real": ("README.md", "docs", "examples"),
    "suite": ("tests", "conftest.py"),
    "mutation": ("tests", "conftest.py", "cosmic-ray.toml"),
}
_EPILOG = """\
examples:
  python -m tests.nightly
  python -m tests.nightly faults --seeds 20
  python -m tests.nightly right --right-examples 1000000
  python -m tests.nightly right --laws equation
  python -m tests.nightly faults right --faults my/faults.py --right my/right.py:Mine

Results are recorded in .nightly/ as they come. An interrupted run goes on where it stopped, and a
part is not run again as long as what it depends on is unchanged: stackgru/, tests/subjects/, its
own test file, its settings and the version of torch.

exit status:
  0  every part passed
  1  a part failed
  2  usage, or a part could not start
"""


def parse(command: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.nightly",
        description="Run what takes too long for every change.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    add("--again", action="store_true", help="run everything again, whatever is recorded")
    add("-n", type=int, default=2, metavar="N", help="worker processes (default: 2)")
    add("--seeds", type=int, default=1, metavar="N", help="seeds per fault (default: 1)")
    add("--right-examples", type=int, default=100_000, metavar="N", help="(default: 100,000)")
    add("--max-examples", type=int, default=100, metavar="N", help="examples per law")
    add("--laws", action="append", default=[], metavar="GLOB", help="only these laws; repeatable")
    add("--every-law", action="store_true", help="do not stop at the first law that catches")
    add("--only", default="*", metavar="GLOB", help="only the subjects with such names")
    place = "FILE|MODULE[:NAME]"
    add("--faults", action="append", default=[], metavar=place, help="your own faults")
    add("--right", action="append", default=[], metavar=place, help="your own right variants")
    add("--strict", action="store_true", help="your own faults count with --strict only")
    add("--results", type=Path, metavar="FOLDER", help="(default: .nightly, or .nightly/sample)")
    given = parser.parse_args(command)
    for part in given.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part!r}; choose from {', '.join(PARTS)}")
    return given


def main(command: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = parse(command)
    own = bool(given.faults or given.right)
    sample = own or given.laws or given.only != "*"
    folder = (given.results or ROOT / ".nightly" / ("sample" if sample else "")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    parts = given.parts or (["faults", "right"] if own else list(PARTS))
    summaries = []
    for number, part in enumerate(parts, 1):
        print(f"[{number}/{len(parts)}] {part}", flush=True)
        try:
            summary = run_part(part, given, folder)
        except KeyboardInterrupt:
            print("Interrupted; the same command goes on from here.", file=sys.stderr)
            return 130
        if summary is None:
            return 2
        summaries.append(summary)
        print(f"{summary['sentence']}\n", flush=True)
    print("| part | tests | failed | crashed | skipped | minutes | commit | result |")
    print("|---|---|---|---|---|---|---|---|")
    for one in summaries:
        counts = " | ".join(str(one[name]) for name in ("tests", "failed", "crashed", "skipped"))
        minutes = f"{one['seconds'] / 60:.1f}"
        print(f"| {one['part']} | {counts} | {minutes} | {one['commit']} | {one['sentence']} |")
    return 0 if all(one["ok"] for one in summaries) else 1


def run_part(part: str, given: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """Run what is missing of a part; return its summary, or None if it could not start."""
    results, summary = folder / f"{part}.jsonl", folder / f"{part}.json"
    if given.again:
        results.unlink(missing_ok=True)
        summary.unlink(missing_ok=True)
    settings = {
        "only": given.only,
        "faults": [_absolute(place) for place in given.faults],
        "right": [_absolute(place) for place in given.right],
        "strict": given.strict,
        "laws": given.laws,
        "every_law": given.every_law,
        "max_examples": given.max_examples,
        "seeds": given.seeds,
        "right_examples": given.right_examples,
    }
    code = _fingerprint(part, settings)
    stored = json.loads(summary.read_text()) if summary.exists() else {}
    if stored.get("settings") == settings and stored.get("code") == code:
        print(f"done at {stored['commit']}, {stored['finished']}; --again runs it again")
        return stored
    # How many are asked for is no part of the key: what is recorded already counts.
    how = {**settings, "only": "", "seeds": 0, "right_examples": 0}
    key = hashlib.sha256(json.dumps([code, how]).encode()).hexdigest()[:16]
    passed_on = json.dumps({**settings, "results": str(results), "key": key})
    where = [f"tests/nightly/test_{part}.py"]
    if part == "suite":
        where = ["tests", "--ignore=tests/nightly"]
    words = [sys.executable, "-m", "pytest", *where, "-m", "nightly", "-q"]
    words += ["-n", str(given.n), "--maxschedchunk=1", "--max-worker-restart=100000"]
    words += ["-p", "no:cacheprovider", "-p", "tests.nightly.recorder"]
    words += ["--tb=short"]
    environment = {**os.environ, "STACKGRU_NIGHTLY": passed_on, "PYTEST_ADDOPTS": ""}
    started = time.monotonic()
    status = subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode
    seconds = time.monotonic() - started
    if status not in (0, 1, 5):  # 5: nothing is left to run
        print(f"{part} did not run to its end: pytest ended with status {status}", file=sys.stderr)
        return None
    found = {}
    for line in results.read_text().splitlines() if results.exists() else ():
        one = json.loads(line)
        if one["key"] == key:
            found[one["id"]] = one
    if not found:
        print(f"{part} has nothing to run: no such subject", file=sys.stderr)
        return None
    figures, sentence = getattr(summary_of, part)(list(found.values()))
    outcomes = Counter(one["outcome"] for one in found.values())
    enough = part != "right" or figures["examples"] >= given.right_examples
    made = {
        "part": part,
        "sentence": sentence if enough else f"TOO FEW: {sentence}",
        "ok": enough and not outcomes["failed"] and not outcomes["crashed"],
        "tests": len(found),
        **{name: outcomes[name] for name in ("passed", "failed", "crashed", "skipped")},
        "seconds": round(seconds),
        "finished": time.strftime("%Y-%m-%d %H:%M"),
        "commit": _commit(),
        "code": code,
        "settings": settings,
        "figures": figures,
        "wrong": {
            one["id"]: one["message"]
            for one in found.values()
            if one["outcome"] in ("failed", "crashed")
        },
    }
    summary.write_text(json.dumps(made, indent=2) + "\n")
    for name, message in made["wrong"].items():
        print(f"{name}: {message}")
    return made


def _absolute(place: str) -> str:
    """Return a file's full path, as pytest runs elsewhere; a module's name as it is."""
    path, colon, name = place.partition(":")
    return f"{Path(path).resolve()}{colon}{name}" if path.endswith(".py") else place


def _fingerprint(part: str, settings: dict[str, Any]) -> str:
    """Return a hash of the files that a part's results depend on, and of torch's version."""
    own = ("conftest.py", "helpers.py", "recorder.py", f"test_{part}.py")
    names = ["stackgru", "tests/subjects", *(f"tests/nightly/{name}" for name in own), *PARTS[part]]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in sorted(set(listed.split("\0")))]
    files += [Path(place.partition(":")[0]) for place in settings["faults"] + settings["right"]]
    code = hashlib.sha256(metadata.version("torch").encode())
    for file in files:
        if file.is_file():
            code.update(
                f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}\0".encode()
            )
            code.update(file.read_bytes())
    return code.hexdigest()[:16]


def _commit() -> str:
    """Return the commit, with a + if the tree differs from it."""
    commands = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    commit, changed = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for words in commands
    )
    return commit.strip() + ("+" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
