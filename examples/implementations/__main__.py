"""The command ``python -m examples.implementations``; see --help."""

from __future__ import annotations

import argparse
import fnmatch
import json
import platform
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

from examples.implementations import IMPLEMENTATIONS
from examples.implementations.table import HEAD, checked, missing, row, write_page

_DESCRIPTION = """\
Check the GRUs of other packages that are installed here, and print what they are as a table in
Markdown. Packages that are not installed are listed below it; examples/implementations.txt and
foreign.txt show how to install them. Nothing is sent anywhere."""
_EXAMPLE = """\
example:
  python -m examples.implementations --only 'opacus.*' --only 'torchrl.*' --max-examples 10"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command on the process' arguments, or on words; return 0 if a table was made."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.implementations",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", action="append", metavar="NAME", help="a name or pattern of names; repeatable")
    add("--max-examples", type=int, default=30, metavar="N", help="examples per law (default: 30)")
    add("--laws", action="append", default=[], metavar="GLOB", help="laws to run (default: all)")
    add("--limit", type=float, default=600, metavar="SECONDS", help="for each (default: 600)")
    add("--json", type=Path, metavar="FOLDER", help="write each whole report into this folder")
    add("--markdown", type=Path, metavar="PAGE", help="replace its rows on this page as well")
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
        ended = outcome.reason or "done"
        print(f"{ended} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
        if outcome.report is not None:
            if given.json:
                given.json.mkdir(parents=True, exist_ok=True)
                (given.json / f"{one.name}.json").write_text(json.dumps(outcome.report, indent=2))
            print(row(outcome), flush=True)
    lines = missing(outcomes)
    versions = [f"{name} {metadata.version(name)}" for name in ("stackgru", "torch")]
    python = f"Python {platform.python_version()}"
    budget = f"seed 1, at most {given.max_examples} examples per law"
    summary = f"Run on {date.today()} with {', '.join((*versions, python, budget))}."
    print(f"\n{summary}")
    if lines:
        print("\nWithout a row:\n", *lines, sep="\n")
    if given.markdown:
        write_page(given.markdown, summary, [row(one) for one in outcomes if one.report], lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
