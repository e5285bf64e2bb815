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
from importlib import metadata
from pathlib import Path

from tests.nightly import summary

ROOT = Path(__file__).parents[2]
#: What runs laws without a report, a script or a command does not depend on these.
_LAWS_ONLY = (":!stackgru/repro", ":!stackgru/cli", ":!stackgru/pytest_plugin")
#: In the order in which they run, with what each depends on besides stackgru/ and the subjects.
PARTS = {
    "faults": _LAWS_ONLY,
    "right": _LAWS_ONLY,
    "diagnoses": _LAWS_ONLY,
    "causes": _LAWS_ONLY,
    "mended": _LAWS_ONLY,
    "scripts": (),
    "real": ("examples", "docs", "README.md"),
    "runtimes": ("examples/foreign",),
    "hostile": (),
    "killed": ("tests/helpers.py",),
    "campaign": ("docs/campaigns.md",),
    "suite": ("tests", "examples", "docs", "README.md", "conftest.py"),
    "mutation": ("tests", "conftest.py", "cosmic-ray.toml"),
}
WRONG = ("failed", "crashed")
EPILOG = """\
examples:
  python -m tests.nightly
  python -m tests.nightly faults --seeds 20
  python -m tests.nightly right --right-examples 1000000
  python -m tests.nightly right --laws equation
  python -m tests.nightly --faults my/faults.py --right my/right.py:Mine

Results are recorded as they come, and an interrupted run goes on where it stopped. A part is not
run again as long as stackgru/, tests/subjects/, its own test file, its settings and the version of
torch are unchanged.

exit status: 0 every part passed; 1 a part failed; 2 usage, or a part could not start
"""


def parse(command=None):
    """Return the settings that a command line gives."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.nightly",
        description="Run the tests that take too long for every change.",
        epilog=EPILOG,
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
    own = {"action": "append", "default": [], "type": _absolute, "metavar": "FILE|MODULE[:NAME]"}
    add("--faults", **own, help="your own faults")
    add("--right", **own, help="your own right variants")
    add("--strict", action="store_true", help="your own faults count with --strict only")
    add("--results", type=Path, metavar="DIR", help="(default: .nightly, of some .nightly/some)")
    given = parser.parse_args(command)
    for part in {*given.parts} - {*PARTS}:
        parser.error(f"unknown part {part!r}; choose from {', '.join(PARTS)}")
    return given


def main(command=None):
    """Run the command; return its exit status."""
    given = parse(command)
    own = bool(given.faults or given.right)
    some = own or given.laws or given.only != "*"
    folder = (given.results or ROOT / ".nightly" / ("some" if some else "")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    parts = given.parts or ([part for part in ("faults", "right") if getattr(given, part)])
    parts, done = parts or list(PARTS), []
    for number, part in enumerate(parts, 1):
        print(f"[{number}/{len(parts)}] {part}", flush=True)
        try:
            made = run_part(part, given, folder)
        except KeyboardInterrupt:
            print("Interrupted; the same command goes on from here.", file=sys.stderr)
            return 130
        if made is None:
            return 2
        done.append(made)
        wrong = [f"{test}: {message}\n" for test, message in made["wrong"].items()]
        print(f"{''.join(wrong)}{made['sentence']}\n", flush=True)
    columns = ("part", "tests", "failed", "crashed", "skipped", "minutes", "commit", "sentence")
    for row in (columns, ["---"] * len(columns), *([one[key] for key in columns] for one in done)):
        print("|", " | ".join(map(str, row)), "|")
    return 0 if all(one["ok"] for one in done) else 1


def run_part(part, given, folder):
    """Run what is missing of a part; return its summary, or None if it could not run."""
    results, file = folder / f"{part}.jsonl", folder / f"{part}.json"
    for old in (results, file) if given.again else ():
        old.unlink(missing_ok=True)
    unrelated = ("parts", "again", "n", "results")
    settings = {name: value for name, value in vars(given).items() if name not in unrelated}
    begun_at, code = commit(), fingerprint(part, given.faults + given.right)
    stored = json.loads(file.read_text()) if file.exists() else {}
    if stored.get("settings") == settings and stored.get("code") == code:
        print(f"done at {stored['commit']}, {stored['finished']}; --again runs it again")
        return stored
    # How many are asked for is not part of the key: what is recorded counts already.
    how = {**settings, "only": "", "seeds": 0, "right_examples": 0}
    key = hashlib.sha256(json.dumps([code, how]).encode()).hexdigest()[:16]
    started = time.monotonic()
    status = run_pytest(part, given.n, {**settings, "results": str(results), "key": key})
    lines = map(json.loads, results.read_text().splitlines() if results.exists() else ())
    found = list({line["id"]: line for line in lines if line["key"] == key}.values())
    if status not in (0, 1, 5) or not found:  # 5: nothing is left to run
        print(f"{part} did not run: pytest ended with status {status}", file=sys.stderr)
        return None
    figures, sentence = getattr(summary, part)(found)
    outcomes = Counter(one["outcome"] for one in found)
    enough = part != "right" or figures["examples"] >= given.right_examples
    made = {
        "part": part,
        "sentence": sentence if enough else f"TOO FEW: {sentence}",
        "ok": enough and not any(outcomes[name] for name in WRONG),
        "tests": len(found),
        **{name: outcomes[name] for name in ("passed", "failed", "crashed", "skipped")},
        "minutes": round((time.monotonic() - started) / 60, 1),
        "finished": time.strftime("%Y-%m-%d %H:%M"),
        "commit": begun_at,
        "code": code,
        "settings": settings,
        "figures": figures,
        "wrong": {one["id"]: one["message"] for one in found if one["outcome"] in WRONG},
    }
    file.write_text(json.dumps(made, indent=2) + "\n")
    return made


def run_pytest(part, workers, settings):
    """Run what is not recorded yet, in worker processes that may die; return the exit status."""
    where = [f"tests/nightly/test_{part}.py"]
    if part == "suite":  # with all rows, examples and cases
        where = ["tests", "--ignore=tests/nightly"]
    words = [sys.executable, "-m", "pytest", *where, "-m", "nightly or not nightly", "-q"]
    words += ["--tb=short", "-n", str(workers), "--maxschedchunk=1", "--max-worker-restart=100000"]
    words += ["-p", "no:cacheprovider", "-p", "tests.nightly.recorder"]
    environment = {**os.environ, "STACKGRU_NIGHTLY": json.dumps(settings), "PYTEST_ADDOPTS": ""}
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


def fingerprint(part, own):
    """Return a hash of torch's version and of the files that a part's results depend on."""
    mine = ("conftest.py", "helpers.py", "recorder.py", f"test_{part}.py")
    names = ["stackgru", "tests/subjects", *(f"tests/nightly/{name}" for name in mine)]
    listed = git("ls-files", "-z", "-co", "--exclude-standard", "--", *names, *PARTS[part])
    files = [*sorted(set(listed.split("\0"))), *(place.partition(":")[0] for place in own)]
    code = hashlib.sha256(metadata.version("torch").encode())
    for name in files:
        if (ROOT / name).is_file():
            code.update(f"{name}\0".encode() + (ROOT / name).read_bytes())
    return code.hexdigest()[:16]


def commit():
    """Return the commit, with a + if the tree differs from it."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def git(*words):
    """Return what git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, stdout=-1, text=True, check=True).stdout


def _absolute(place):
    """Return a file's full path, as pytest runs elsewhere; a module's name as it is."""
    path, colon, name = place.partition(":")
    return f"{Path(path).resolve()}{colon}{name}" if path.endswith(".py") else place


if __name__ == "__main__":
    sys.exit(main())
