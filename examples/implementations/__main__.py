"""The command ``python -m examples.implementations``; see --help."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from examples.implementations import IMPLEMENTATIONS
from examples.implementations.table import HEAD, checked, missing, row

_DESCRIPTION = """\
Check the GRUs of other packages that are installed here, and print what they are as a table of
Markdown. What is not installed is listed below it; examples/implementations.txt says how to
install it. Nothing is sent anywhere."""
_EXAMPLE = """\
example:
  python -m examples.implementations --only 'opacus.*' --only 'torchrl.*' --max-examples 10"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: its arguments; those of the process if None.

    Returns:
        0 if the table was made, whatever it says.
    """
    parser = argparse.ArgumentParser(
        prog="python -m examples.implementations",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", action="append", metavar="NAME", help="a name or pattern of names; repeatable")
    add("--max-examples", type=int, default=30, metavar="N", help="examples a law (default: 30)")
    add("--laws", action="append", default=[], metavar="GLOB", help="laws to run (default: all)")
    add("--limit", type=float, default=600, metavar="SECONDS", help="for each (default: 600)")
    add("--json", type=Path, metavar="FOLDER", help="write each whole report into this folder")
    add("--list", action="store_true", help="print the names, and check nothing")
    given = parser.parse_args(words)
    names = [one.name for one in IMPLEMENTATIONS]
    for pattern in given.only or ():
        if not fnmatch.filter(names, pattern):
            parser.error(f"no implementation is called {pattern!r}; --list prints the names")
    if given.max_examples < 1:
        parser.error("--max-examples must be at least 1")
    chosen = [
        one
        for one in IMPLEMENTATIONS
        if not given.only or any(fnmatch.fnmatchcase(one.name, name) for name in given.only)
    ]
    if given.list:
        print(*(one.name for one in chosen), sep="\n")
        return 0
    outcomes = []
    print(HEAD, flush=True)
    for number, one in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {one.name} ...", end=" ", file=sys.stderr, flush=True)
        began = time.monotonic()
        counts = {"max_examples": given.max_examples, "laws": given.laws}
        outcome = checked(one, limit=given.limit, **counts)
        outcomes.append(outcome)
        said = outcome.reason or "done"
        print(f"{said} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
        if outcome.report is not None:
            if given.json:
                given.json.mkdir(parents=True, exist_ok=True)
                (given.json / f"{one.name}.json").write_text(json.dumps(outcome.report, indent=2))
            print(row(outcome), flush=True)
    lines = missing(outcomes)
    torch = metadata.version("torch")
    print(f"\ntorch {torch}, seed 1, at most {given.max_examples} examples a law.")
    if lines:
        print("\nWithout a row:\n", *lines, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
