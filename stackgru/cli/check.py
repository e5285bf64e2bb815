"""The command that checks a target."""

from __future__ import annotations

import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackgru.cli.common import (
    INTERRUPTED,
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
  stackgru check my_model:Stack --html report.html
  stackgru check my_model:Stack -- --durations=5

\b
Exit status:
  0    every law that applies holds
  1    some law is violated
  2    usage, or the target cannot be imported, built or called
  3    no verdict: a law crashed, timed out or was not run, or stackgru failed
  130  interrupted, with what was found so far
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
    "--html",
    cls=GroupedOption,
    group="Output",
    metavar="FILE",
    help="Write the report to this file as a page, with scripts that show what is wrong.",
)
@click.option(
    "-v",
    "--verbose",
    cls=GroupedOption,
    group="Output",
    is_flag=True,
    help="Show every law, each violation in full, and the facts of the build.",
)
@click.option(
    "-n",
    cls=GroupedOption,
    group="Running",
    metavar="N",
    help="Worker processes; as many as there are cores if omitted.",
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST ARGUMENTS]")
def check(
    target: str,
    with_traceback: bool,
    json: str | None,
    html: str | None,
    verbose: bool,
    **options: Any,
) -> None:
    """Check TARGET, a class or factory named module:attr or path/file.py:attr.

    Without TARGET, the bundled StackingGRUCell is checked. The laws run in pytest, which takes
    what follows --, such as -x or --junitxml=FILE, and then shows its own output.
    """
    output = _Output(json, html, options["report"], verbose)
    with errors_shown("there is no verdict", with_traceback):
        if html is None or options["report"]:
            _check(target, output, **options)
        with tempfile.TemporaryDirectory(prefix="stackgru-") as folder:
            _check(target, output, **{**options, "report": folder})


@dataclass(frozen=True)
class _Output:
    """What is made of a report, and how it is shown.

    Attributes:
        json: the file that it is written to, if any.
        html: the file of the page, if any.
        folder: where bug reports are saved, if they are.
        verbose: whether every law is shown.
    """

    json: str | None
    html: str | None
    folder: str | None
    verbose: bool


def _check(
    target: str, output: _Output, n: str | None, pytest_args: tuple[str, ...], **options: Any
) -> None:
    from stackgru.pytest_plugin.check import Interrupted, check
    from stackgru.report.progress import Progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Progress(target) as progress:
            report = check(
                target,
                n=n,
                pytest_args=pytest_args,
                progress=progress.update,
                found=progress.found,
                done=lambda report: _write(report, output),
                **read(options),
            )
    except Interrupted as interrupted:
        if interrupted.report is None:
            raise
        _show(interrupted.report, output)
        click.echo("Interrupted: no verdict.", err=True)
        sys.exit(INTERRUPTED)
    _show(report, output)
    sys.exit(report.exit_status)


def _write(report: Report, output: _Output) -> str | None:
    """Write the report as JSON and as a page; return why that failed, if it did."""
    from stackgru.report.files import write_text
    from stackgru.report.page import NoTemplates, page

    for file, text in ((output.json, report.to_json), (output.html, lambda: page(report))):
        try:
            if file:
                write_text(file, text())
        except OSError as error:  # what was found is shown all the same
            return f"the report could not be written to {file}: {error.strerror}."
        except NoTemplates as error:
            return str(error)
    return None


def _show(report: Report, output: _Output) -> None:
    """Print the report, and write it; end with an error if something could not be written."""
    from stackgru.report.files import can_be_written
    from stackgru.report.terminal import render, terminal_size

    failed = _write(report, output)
    if output.folder is None:  # the scripts are in the page alone
        report = report.without_scripts()
    width, colour = terminal_size(sys.stdout)
    text = render(report, width=width, colour=colour, verbose=output.verbose)
    click.echo(text, nl=False, color=colour)
    database = Path.cwd() / ".hypothesis"
    if report.violations and not can_be_written(database):
        click.echo(
            f"The next run cannot begin with these cases: {database} cannot be written.", err=True
        )
    if output.folder and not failed:
        unsaved = [one.problem for one in report.violations if one.problem and not one.script]
        reasons = [reason for reason in unsaved if "could not be saved" in reason]
        failed = f"a bug report is missing: {reasons[0]}." if reasons else None
    if failed:
        fail(failed, NO_VERDICT)
