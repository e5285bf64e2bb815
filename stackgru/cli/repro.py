"""The commands about reports: the script of one case, and saved reports run again."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from stackgru.options import (
    ARGUMENTS,
    DEFAULT_SHRINK_SECONDS,
    RETURNS,
    STATES,
    Options,
    UsageError,
    names,
)

if TYPE_CHECKING:
    from stackgru.repro.bug import Bug
    from stackgru.repro.replay import Replayed

_REPRO_EPILOG = """\b
Examples:
  stackgru repro "hidden_size=2 seed=3" --target my_model:Stack --law equation
  stackgru repro "$CASE" --target cell.py:MyCell --law one-step -o repro.py

\b
Exit status:
  0  the script shows the violation; it has been run in a clean process
  1  the case shows no violation, or the script does not
  2  usage, or the target cannot be imported, built or called
  3  the script could not be written, or stackgru itself failed
"""

_REPLAY_EPILOG = """\b
Each report is one of
  still there  its script shows the violation in every run
  flaky        it shows it in some runs only
  broken       it cannot be read or run: the target has moved, or the file is no report
  fixed        its script shows that the two agree

\b
Exit status:
  0  every report is fixed
  1  some violation is still there, or flaky
  2  usage: there is no such folder, or no report in it
  3  none is still there, but some report is broken
"""


@click.command(epilog=_REPRO_EPILOG)
@click.argument("case")
@click.option("--target", default="stackgru:StackingGRUCell", show_default=True)
@click.option("--law", required=True, help="The law that the case violates.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the script there.")
@click.option("--issue", is_flag=True, help="Print the text of an issue, with the script in it.")
@click.option("--strict", is_flag=True, help="Count what otherwise is an answer only.")
@click.option(
    "--shrink-seconds",
    type=click.FloatRange(min=0),
    default=DEFAULT_SHRINK_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Longest time of making the numbers plain.",
)
@click.option("--kind", type=click.Choice(["cell", "sequence"]), help="What the target is.")
@click.option("--arguments", metavar="NAMES", help=f"As of check: {', '.join(ARGUMENTS)}.")
@click.option("--state", type=click.Choice(STATES), help="As of check.")
@click.option("--returns", metavar="PARTS", help=f"As of check: {'; '.join(RETURNS)}.")
@click.option("--time-axis", is_flag=True, help="As of check.")
def repro(case: str, output: str | None, issue: bool, **options: Any) -> None:
    """Print the script that shows the violation of CASE, as a violation prints it.

    The script is one Python file that needs torch and the target only.
    """
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")
    from stackgru.report.files import write_text
    from stackgru.targets.importing import TargetError

    try:
        bug = _bug(case, options)
    except (TargetError, UsageError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        click.echo(f"Error: stackgru itself failed, so there is no script: {what}", err=True)
        sys.exit(3)
    if bug is None:
        click.echo(f"{options['law']} holds in this case: there is nothing to show.", err=True)
        sys.exit(1)
    text = bug.issue if issue else bug.script
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            write_text(output, text.rstrip("\n"))
        except OSError as error:
            click.echo(text, nl=False)
            click.echo(f"Error: it could not be written to {output}: {error.strerror}.", err=True)
            sys.exit(3)
    if bug.report.problem:
        click.echo(f"This is no report: {bug.report.problem}.", err=True)
        sys.exit(1)


def _bug(case_text: str, options: dict[str, Any]) -> Bug | None:
    """Return the violation that a case shows, with its script; None if it shows none."""
    from stackgru.cases.case import Case
    from stackgru.engine.select import select
    from stackgru.report.report import Finding
    from stackgru.repro.bug import bug_for
    from stackgru.repro.scripts import NoScript
    from stackgru.repro.simplify import violation_in
    from stackgru.targets.target import load

    try:
        case = Case.parse(case_text)
    except ValueError as error:
        text = str(error)
        raise UsageError(text if text.endswith("?") else f"{text}.") from error
    (law, *others) = select(Options(laws=(options["law"],)))
    if others:
        raise UsageError(f"{options['law']!r} is more than one law.")
    arguments = names(options["arguments"]) if options["arguments"] else None
    told = Options(
        arguments=None if arguments is None else tuple(arguments),
        state=options["state"],
        returns=options["returns"],
        time_axis=options["time_axis"],
    ).convention
    target = load(options["target"], kind=options["kind"], fields=told)
    found = violation_in(target, law, case, strict=options["strict"])
    if found is None:
        return None
    finding = Finding(
        law.name, str(case), found.message, found.difference, found.allowed, found.place
    )
    strict, seconds = options["strict"], options["shrink_seconds"]
    try:
        return bug_for(target, law, finding, strict=strict, seconds=seconds)
    except NoScript as error:
        raise UsageError(f"there is no script, for {error}.") from error


@click.command(epilog=_REPLAY_EPILOG)
@click.argument("folder", metavar="DIR")
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each script is run.",
)
def replay(folder: str, times: int) -> None:
    """Run the reports saved in DIR again: is each still there?"""
    from stackgru.repro.replay import replay as replay_all

    try:
        found = replay_all(folder, times)
    except OSError as error:
        click.echo(f"Error: {folder} cannot be read: {error.strerror}.", err=True)
        sys.exit(2)
    if not found:
        click.echo(f"Error: there is no report in {folder}.", err=True)
        sys.exit(2)
    for one in found:
        click.echo(_line(one))
    counts = {status: sum(one.status == status for one in found) for status in _ORDER}
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items() if count) + ".")
    if counts["still there"] or counts["flaky"]:
        sys.exit(1)
    sys.exit(3 if counts["broken"] else 0)


_ORDER = ("still there", "flaky", "broken", "fixed")


def _line(one: Replayed) -> str:
    target = f" of {one.report.target}" if one.report else ""
    law = one.report.law if one.report else ""
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.status:<12} {one.folder.name}  {law}{target}{reason}".rstrip()
