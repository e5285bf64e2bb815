"""The command that writes the script of one case."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from stackgru.cli.common import (
    FAILED,
    NO_VERDICT,
    errors_shown,
    fail,
    from_table,
    read,
)
from stackgru.options import DEFAULT_TARGET, Options, UsageError, option_named

if TYPE_CHECKING:
    from stackgru.repro.bug import Bug

_EPILOG = """\b
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
_SHARED = ("strict", "shrink_seconds", "kind", "arguments", "state", "returns", "time_axis")


@click.command(epilog=_EPILOG)
@click.argument("case")
@from_table(option_named("target"), default=DEFAULT_TARGET, show_default=True)
@click.option("--law", "name", metavar="NAME", required=True, help="The law that CASE violates.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the script there.")
@click.option("--issue", is_flag=True, help="Print the text of an issue, with the script in it.")
@from_table(*map(option_named, _SHARED))
def repro(
    case: str, target: str, name: str, output: str | None, issue: bool, **options: Any
) -> None:
    """Print a script that shows the violation of CASE, which is written as violations show it.

    The script is one Python file that needs only torch and the target.
    """
    with errors_shown("there is no script"):
        bug = _bug(case, target, name, Options(**read(options)))
    text = bug.issue if issue else bug.script
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
    if bug.report.violation.problem:
        click.echo(f"Not reproducible: {bug.report.violation.problem}.", err=True)
        sys.exit(FAILED)


def _write(output: str, text: str) -> None:
    from stackgru.report.files import write_text

    try:
        write_text(output, text.rstrip("\n"))
    except OSError as error:
        click.echo(text, nl=False)
        fail(f"the script could not be written to {output}: {error.strerror}.", NO_VERDICT)


def _bug(case_text: str, name: str, law_name: str, options: Options) -> Bug:
    """Return the violation that a case shows, with its script."""
    from stackgru.cases.case import Case
    from stackgru.engine.select import select
    from stackgru.repro.bug import bug_for
    from stackgru.repro.scripts import NoScript
    from stackgru.repro.simplify import violation_in
    from stackgru.targets.target import load

    try:
        case = Case.parse(case_text)
    except ValueError as error:
        text = str(error)
        raise UsageError(text if text.endswith("?") else f"{text}.") from error
    (law, *others) = select(Options(laws=(law_name,)))
    if others:
        raise UsageError(f"{law_name!r} is more than one law.")
    target = load(name, kind=options.kind, fields=options.convention)
    found = violation_in(target, law, case, strict=options.strict)
    if found is None:
        click.echo(f"The case does not violate {law_name}.", err=True)
        sys.exit(FAILED)
    strict, seconds = options.strict, options.shrink_seconds
    try:
        return bug_for(target, law, found, strict=strict, seconds=seconds)
    except NoScript as error:
        raise UsageError(f"there is no script: {error}.") from error
