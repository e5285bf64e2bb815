"""The command ``python -m tests.sweep``: every torch of tox.ini, one after another; see --help."""

from __future__ import annotations

import argparse
import fnmatch
import functools
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stackgru.report.files import json_text, write_text

ROOT = Path(__file__).parents[1]
#: What is checked on each build: a report's name, and the arguments of ``stackgru check``.
CHECKS = {
    "cell": ["--seed", "1"],
    "gru": ["torch.nn:GRU", "--strict", "--seed", "1"],
}
FREE = 20  # GB that stay free: an environment takes up to 7
#: What runs there besides: bug reports, their scripts, and checkpoints converted there and back.
TESTS = ["tests/cli/test_every_build.py", "-m", "nightly", "-q"]
EPILOG = """\
examples:
  python -m tests.sweep                      # or: tox run -e atlas
  python -m tests.sweep --only 'torch2*'
  stackgru atlas .atlas/*.json

Each environment is made by tox, checked, and removed before the next is made. What is done is not
done again as long as stackgru/ is unchanged.

exit status: 0 all were checked; 1 one could not be; 2 usage
"""


def parse():
    """Return the settings that the command line gives."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sweep",
        description="Check the bundled cell and nn.GRU on every torch of tox.ini.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--again", action="store_true", help="check everything again")
    parser.add_argument("--keep", action="store_true", help="do not remove the environments")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only such factors")
    parser.add_argument("--results", type=Path, default=ROOT / ".atlas", metavar="DIR")
    return parser.parse_args()


def main():
    """Run the command; return its exit status."""
    given = parse()
    given.results = given.results.resolve()
    given.results.mkdir(exist_ok=True)
    every, failed = newest_pythons(environments()), []
    for number, (name, factor) in enumerate(every, 1):
        if not fnmatch.fnmatch(factor, given.only):
            continue
        print(f"[{number}/{len(every)}] {name}", flush=True)
        done = run(name, given.results / f"{number:02}-{factor}.json", again=given.again)
        if not given.keep:
            shutil.rmtree(ROOT / ".tox" / name, ignore_errors=True)
        failed += [] if done else [name]
    print(f"not checked: {', '.join(failed)}" if failed else f"all are in {given.results}")
    return 1 if failed else 0


def environments():
    """Return the names of tox' environments."""
    listed = subprocess.run(
        [sys.executable, "-m", "tox", "list", "--no-desc", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def newest_pythons(names):
    """Return the environment and the factor of each torch with the newest Python that is there."""
    found = {}
    for name in names:
        match = re.fullmatch(r"py3(\d+)-(torch\d+)", name)
        if match and runs(f"python3.{match[1]}"):
            found[match[2]] = max(found.get(match[2], (0, "")), (int(match[1]), name))
    return [(name, factor) for factor, (_, name) in found.items()]


@functools.cache
def runs(python):
    """Return whether a Python is there and runs: one of pyenv's may be a name only."""
    return (
        bool(shutil.which(python))
        and not subprocess.run([python, "--version"], capture_output=True, check=False).returncode
    )


def run(name, path, *, again):
    """Check one environment and write what was found; return whether that could be done."""
    code = fingerprint()
    if path.exists() and not again:
        stored = json.loads(path.read_text())["environment"]
        if stored["code"] == code and stored["reports_and_checkpoints"] == "pass":
            print(f"    done in {stored['seconds']} s; --again checks it again")
            return True
    if shutil.disk_usage(ROOT).free < FREE * 1e9:
        print(f"    less than {FREE} GB are free")
        return False
    began, reports = time.monotonic(), []
    made = subprocess.run(tox("run", name, "--notest"), cwd=ROOT, check=False)
    if made.returncode:
        return False
    installed = round(time.monotonic() - began)
    for report, arguments in CHECKS.items():
        file = path.with_suffix(f".{report}")
        command = ["python", "-m", "stackgru", "check", *arguments, "--json", str(file)]
        checked = subprocess.run(
            [*tox("exec", name), "--", *command], cwd=path.parent, capture_output=True, text=True
        )
        if not file.exists():
            print(checked.stdout[-2000:], checked.stderr[-2000:])
            return False
        reports.append(json.loads(file.read_text()))
        file.unlink()
        print(f"    {reports[-1]['verdict']['sentence']}", flush=True)
    tested = subprocess.run(
        [*tox("exec", name), "--", "python", "-m", "pytest", *TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tested.returncode:
        print(tested.stdout[-2000:], tested.stderr[-2000:])
    environment = {
        "name": name,
        "code": code,
        "reports_and_checkpoints": "failed" if tested.returncode else "pass",
        "seconds": round(time.monotonic() - began),
        "seconds_to_install": installed,
        "gigabytes": round(size_of(ROOT / ".tox" / name) / 1e9, 1),
    }
    write_text(path, json_text({"environment": environment, "reports": reports}))
    print(f"    {environment['seconds']} s, {environment['gigabytes']} GB", flush=True)
    return not tested.returncode


def fingerprint():
    """Return a hash of the program, which decides whether a build is checked again."""
    code = hashlib.sha256()
    for path in sorted((ROOT / "stackgru").rglob("*.py")):
        code.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return code.hexdigest()[:16]


def tox(command, name, *arguments):
    """Return a command of tox for one environment."""
    config = ["-c", str(ROOT / "tox.ini")]
    return [sys.executable, "-m", "tox", command, *config, "-e", name, *arguments]


def size_of(folder):
    """Return how many bytes the files in a folder take."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


if __name__ == "__main__":
    sys.exit(main())
