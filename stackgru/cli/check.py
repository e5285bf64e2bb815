"""The command that checks a target."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from stackgru.cli.common import (
    NO_VERDICT,
    GroupedCommand,
    GroupedOption,
    errors_shown,
    fail,
    from_table,
    read,
)
from stackgru.options import DEFAULT_TARGET, OPTIONS

if TYPE_CHECKING:
    from stackgru.report.report import Report

_EPILOG = """\b
Examples:
  stackgru check
  stackgru check my_model.decoder:StackedGRU
  stackgru check path/to/cell.py:MyCell --laws equation --max-examples 1000
  stackgru check torch.nn:GRU --kind sequence -n 2 --json report.json
  stackgru check my_model:Stack --report reports
  stackgru check my_model:Stack -- --durations=5

\b
Exit status:
  0    every law that applies holds
  1    some law is violated
  2    usage, or the target cannot be imported, built or called
  3    no verdict: a law crashed or timed out, or the checker itself failed
  130  interrupted
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG)
@click.argument("target", default=DEFAULT_TARGET)
@from_table(*(option for option in OPTIONS if option.group))
@click.option(
    "--traceback",
    "with_traceback",
    cls=GroupedOption,
    group="Output",
    is_flag=True,
    help="Show the traceback of an error.",
)
@click.option(
    "-n", cls=GroupedOption, group="Running", metavar="N", help="Worker processes, or auto."
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST ARGUMENTS]")
def check(target: str, with_traceback: bool, json: str | None, **options: Any) -> None:
    """Check TARGET, a class or factory named module:attr or path/file.py:attr.

    Without TARGET, the bundled StackingGRUCell is checked. The laws run in pytest, which takes
    what follows --, such as -x or --junitxml=FILE, and then shows its own output.
    """
    with errors_shown("there is no verdict", with_traceback):
        _check(target, json, **options)


def _check(
    target: str, json_file: str | None, n: str | None, pytest_args: tuple[str, ...], **options: Any
) -> None:
    from stackgru.pytest_plugin.check import check
    from stackgru.report.progress import Progress

    with Progress(target) as progress:
        report = check(
            target, n=n, pytest_args=pytest_args, progress=progress.update, **read(options)
        )
    _show(report, json_file, options["report"])
    sys.exit(report.exit_status)


def _show(report: Report, json_file: str | None, folder: str | None) -> None:
    """Print the report, and write it; end with an error if something could not be written."""
    from stackgru.report.files import write_text
    from stackgru.report.terminal import render, terminal_size

    failed = None
    if json_file:
        try:
            write_text(json_file, report.to_json())
        except OSError as error:  # what was found is shown all the same
            failed = f"the report could not be written to {json_file}: {error.strerror}."
    width, colour = terminal_size(sys.stdout)
    click.echo(render(report, width=width, colour=colour), nl=False, color=colour)
    if folder and not failed:
        unsaved = [one.problem for one in report.violations if one.problem and not one.script]
        reasons = [reason for reason in unsaved if "could not be saved" in reason]
        failed = f"a bug report is missing: {reasons[0]}." if reasons else None
    if failed:
        fail(failed, NO_VERDICT)
