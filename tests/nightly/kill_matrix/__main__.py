"""The command line of the kill matrix."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape

from stackgru.engine.select import select
from stackgru.options import DEFAULT_TIMEOUT, PROFILES, Options, UsageError
from stackgru.targets.importing import TargetError
from tests.nightly.kill_matrix.catalogue import Subject, named_subjects, project_subjects
from tests.nightly.kill_matrix.crew import Crew
from tests.nightly.kill_matrix.plans import Examples, Full, Seeds, run, run_first
from tests.nightly.kill_matrix.results import Store
from tests.nightly.kill_matrix.summary import Summary
from tests.nightly.kill_matrix.tables import write_table

_EPILOG = """\
examples:
  python -m tests.nightly.kill_matrix -n 2 --table kill_matrix.md
  python -m tests.nightly.kill_matrix -n 2 --seeds 20
  python -m tests.nightly.kill_matrix -n 2 --right-examples 1000000
  python -m tests.nightly.kill_matrix -n 1 --first
  python -m tests.nightly.kill_matrix --faults my/faults.py --right my/right.py:Mine

Results are kept as they come: a run that was interrupted goes on where it was,
and what was not changed since is not run again. The summary shows all there is.

exit status:
  0  every fault was caught in every seed, and no right variant accused
  1  a fault was missed, or a right variant accused
  2  usage, or a subject cannot be imported, built or called
"""


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.nightly.kill_matrix",
        description="Run every law on every faulty and every right implementation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to run (--full if none is given; may be combined)")
    what.add_argument("--full", action="store_true", help="every law on everything, one seed")
    what.add_argument("--seeds", type=int, metavar="N", help="is each fault caught in N seeds?")
    what.add_argument(
        "--right-examples", type=int, metavar="N", help="try right variants on N law examples"
    )
    what.add_argument(
        "--first", action="store_true", help="time `stackgru check` to the first violation"
    )
    add = parser.add_argument
    place = "FILE|MODULE[:NAME]"
    add("--faults", action="append", default=[], metavar=place, help="faults of your own")
    add("--right", action="append", default=[], metavar=place, help="right ones of your own")
    add("--strict", action="store_true", help="your own faults count with --strict only")
    add("--own", action="store_true", help="with yours, run the project's own as well")
    add("--laws", action="append", default=[], metavar="GLOB", help="these laws only (repeatable)")
    add("--max-examples", type=int, default=PROFILES["default"], metavar="N", help="a law")
    add("--seed", type=int, default=1, metavar="N", help="the first seed, of --full the only one")
    add("--timeout", type=float, default=DEFAULT_TIMEOUT, metavar="SECONDS", help="of a law")
    add("-n", type=int, default=2, metavar="N", help="worker processes (default 2)")
    add("--results", default="kill_matrix.jsonl", metavar="FILE", help="where results are kept")
    add("--table", metavar="FILE", help="write law x fault there: .csv, or Markdown")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = parse(command)
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        options = Options(
            profile="default",
            laws=tuple(arguments.laws),
            max_examples=arguments.max_examples,
            timeout=arguments.timeout,
        )
        laws = [law.name for law in select(options)]
        subjects = _subjects(arguments)
    except (TargetError, UsageError) as error:
        errors.print(f"Error: {escape(str(error))}")
        return 2
    store = Store(arguments.results, arguments.max_examples)
    summary = Summary(subjects, laws, store, arguments.seed)
    try:
        _run(arguments, subjects, laws, store, options, errors)
    except KeyboardInterrupt:
        errors.print("Interrupted; the same command goes on from here.")
        return 130
    if arguments.table:
        write_table(arguments.table, subjects, laws, store, arguments.seed)
    summary.show(console)
    return 0 if summary.ok else 1


def _subjects(arguments: argparse.Namespace) -> list[Subject]:
    subjects = [
        *named_subjects(arguments.faults, is_fault=True, strict=arguments.strict),
        *named_subjects(arguments.right, is_fault=False),
    ]
    return subjects + (project_subjects() if arguments.own or not subjects else [])


def _run(
    arguments: argparse.Namespace,
    subjects: Sequence[Subject],
    laws: Sequence[str],
    store: Store,
    options: Options,
    errors: Console,
) -> None:
    crew = Crew(arguments.n)
    faults = [subject for subject in subjects if subject.is_fault]
    right = [subject for subject in subjects if not subject.is_fault]
    others = arguments.seeds or arguments.right_examples or arguments.first
    if arguments.full or not others:
        plan = Full(laws, arguments.seed)
        _follow("full", subjects, run(plan, subjects, store, crew, options), errors)
    if arguments.first:
        _follow("first", faults, run_first(faults, store, crew, options), errors)
    if arguments.seeds:
        plan = Seeds(laws, range(arguments.seed, arguments.seed + arguments.seeds))
        _follow("seeds", faults, run(plan, faults, store, crew, options), errors)
    if arguments.right_examples and right:
        plan = Examples(laws, arguments.seed, -(-arguments.right_examples // len(right)))
        _follow("right", right, run(plan, right, store, crew, options), errors)


def _follow(
    what: str,
    subjects: Sequence[Subject],
    done: Iterable[tuple[Subject, float, int]],
    errors: Console,
) -> None:
    """Say on stderr what is done as it comes."""
    with contextlib.closing(done):  # an interruption ends the workers at once
        for number, (subject, seconds, new) in enumerate(done, 1):
            errors.print(
                f"{escape(f'[{number}/{len(subjects)}]')} {what:<5}  {escape(subject.name)}  "
                f"{new} new results in {seconds:.1f} s"
            )


if __name__ == "__main__":
    sys.exit(main())
