"""The command line. Torch, hypothesis and pytest are imported when a command runs."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any

import click

from stackgru import __version__
from stackgru.cli.convert import convert
from stackgru.cli.repro import replay, repro
from stackgru.options import (
    ARGUMENTS,
    DEFAULT_SHRINK_SECONDS,
    DEFAULT_TIMEOUT,
    PROFILES,
    RETURNS,
    STATES,
    UsageError,
    names,
)

EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130

_CHECK_EPILOG = """\b
Examples:
  stackgru check
  stackgru check my_model.decoder:StackedGRU
  stackgru check path/to/cell.py:MyCell --laws equation --max-examples 1000
  stackgru check torch.nn:GRU --kind sequence -n 2 --json report.json
  stackgru check my_model:Stack --report reports
  stackgru check my_model:Stack -- --durations=5

\b
Exit status:
  0  every law that applies holds
  1  some law is violated
  2  usage, or the target cannot be imported, built or called
  3  no verdict: a law crashed or timed out, or the checker itself failed
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stackgru")
def cli() -> None:
    """Is this stack of GRU cells interchangeable with torch.nn.GRU?

    stackgru tries a stack against the laws that nn.GRU obeys, over random cases, and shows the
    smallest case in which they part.
    """


@cli.command(epilog=_CHECK_EPILOG, context_settings={"show_default": True})
@click.argument("target", default="stackgru:StackingGRUCell")
@click.option(
    "--kind",
    type=click.Choice(["cell", "sequence"]),
    help="What TARGET is; found by calling it if left out.",
)
@click.option("--laws", multiple=True, metavar="GLOB", help="Try these laws only (repeatable).")
@click.option("--skip", multiple=True, metavar="GLOB", help="Leave these laws out (repeatable).")
@click.option("--max-examples", type=click.IntRange(min=1), metavar="N", help="Examples a law.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="What the search starts from; chosen if left out.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="default",
    help="Examples a law, by name: " + ", ".join(f"{k} {v}" for k, v in PROFILES.items()) + ".",
)
@click.option(
    "--dtype", "dtypes", multiple=True, metavar="D", help="Draw this dtype only (repeatable)."
)
@click.option("--device", default="cpu", metavar="DEV", help="Where everything is built.")
@click.option("--strict", is_flag=True, help="Count what otherwise is an answer only.")
@click.option(
    "--arguments",
    metavar="NAMES",
    help=f"The constructor's arguments by position, of {', '.join(ARGUMENTS)}, commas between.",
)
@click.option(
    "--state",
    type=click.Choice(STATES),
    help="How the state goes in and comes out, if not stacked.",
)
@click.option(
    "--returns", metavar="PARTS", help=f"What a call gives: {'; '.join(RETURNS)}, in this order."
)
@click.option("--time-axis", is_flag=True, help="A cell takes (1, B, I) and gives (1, B, H).")
@click.option("-n", "n", metavar="N", help="Worker processes, or auto.")
@click.option(
    "--timeout",
    type=float,
    default=DEFAULT_TIMEOUT,
    metavar="SECONDS",
    help="Longest time of a law.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Save violations there, each with a script that runs by itself, and an issue text.",
)
@click.option(
    "--shrink-seconds",
    type=click.FloatRange(min=0),
    default=DEFAULT_SHRINK_SECONDS,
    metavar="SECONDS",
    help="Longest time of making a violation's numbers plain.",
)
@click.option(
    "--known",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Violations that are known, a line 'law: reason' for each.",
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False), help="Write the report there."
)
@click.option("--traceback", "with_traceback", is_flag=True, help="Show the traceback of an error.")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST ARGUMENTS]")
def check(
    target: str, json_file: str | None, with_traceback: bool, n: str | None, **options: Any
) -> None:
    """Check TARGET, a class or factory named module:attr or path/file.py:attr.

    Without TARGET the bundled StackingGRUCell is checked. What stands after -- goes to pytest.
    """
    try:
        status = _check(target, json_file, n, options)
    except KeyboardInterrupt:  # click would end with 1, which says that a law is violated
        click.echo("Interrupted: no verdict.", err=True)
        status = EXIT_INTERRUPTED
    except Exception as error:
        if with_traceback:
            traceback.print_exc()
        status = _fail(error)
    sys.exit(status)


def _check(target: str, json_file: str | None, n: str | None, options: dict[str, Any]) -> int:
    if n is not None and n != "auto" and not n.isdigit():
        raise click.BadParameter(f"{n!r} is neither a whole number nor auto.", param_hint="-n")
    # Torch says so as it is imported where NumPy is not there; nothing here needs NumPy.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")
    from stackgru.pytest_plugin.check import check
    from stackgru.report.files import write_text
    from stackgru.report.progress import Progress
    from stackgru.report.terminal import render, terminal_size

    if options["arguments"] is not None:
        options["arguments"] = names(options["arguments"])
    with Progress(target) as progress:
        report = check(
            target, n=None if n in (None, "0") else n, progress=progress.update, **options
        )
    width, colour = terminal_size(sys.stdout)
    failed = None
    if json_file:
        try:
            write_text(json_file, report.to_json())
        except OSError as error:  # what was found is shown all the same
            failed = f"the report could not be written to {json_file}: {error.strerror}."
    click.echo(render(report, width=width, colour=colour), nl=False, color=colour)
    lost = [one.problem for one in report.violations if one.problem and not one.script]
    if options["report"] and lost and not failed:
        reason = next((one for one in lost if "could not be saved" in one), None)
        failed = reason and f"a report is missing, for {reason}."
    if failed:
        click.echo(f"Error: {failed}", err=True)
        return EXIT_FAILED
    return report.exit_status


def _fail(error: Exception) -> int:
    """Say what went wrong in one sentence; return the exit status."""
    from stackgru.targets.importing import TargetError

    if isinstance(error, click.ClickException):
        raise error
    if isinstance(error, (TargetError, UsageError)):
        click.echo(f"Error: {error}", err=True)
        return EXIT_USAGE
    click.echo(
        f"Error: stackgru itself failed, so there is no verdict: {type(error).__name__}: {error}",
        err=True,
    )
    return EXIT_FAILED


@cli.command()
def laws() -> None:
    """List every law, its family and its statement."""
    from stackgru.laws.registry import all_laws
    from stackgru.report.terminal import law_list, terminal_size

    width, colour = terminal_size(sys.stdout)
    rows = [(law.family, law.name, law.statement) for law in all_laws().values()]
    text = law_list(rows, width=width, colour=colour)
    click.echo(text, nl=False, color=colour)


for command in (repro, replay, convert):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
