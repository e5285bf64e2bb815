"""The command that runs saved bug reports again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stackgru.cli.common import DONE, FAILED, NO_VERDICT, USAGE, errors_shown, fail

if TYPE_CHECKING:
    from stackgru.repro.replay import Replayed

_EPILOG = """\b
Each bug report is one of
  still there  its script shows the violation in every run
  flaky        its script shows it in some runs only
  broken       it cannot be read or run: the target has moved, or a file is damaged
  fixed        its script shows that the two agree

\b
Exit status:
  0  every bug report is fixed
  1  some violation is still there, or flaky
  2  usage: there is no such folder, or no bug report in it
  3  none is still there, but some bug report is broken
"""
_ORDER = ("still there", "flaky", "broken", "fixed")


@click.command(epilog=_EPILOG)
@click.argument("folder", metavar="DIR")
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of runs per script.",
)
def replay(folder: str, times: int) -> None:
    """Run the scripts of the bug reports saved in DIR, and show which are fixed."""
    from stackgru.repro.replay import replay as replay_all

    with errors_shown("nothing is known"):
        try:
            found = replay_all(folder, times)
        except OSError as error:
            fail(f"{folder} cannot be read: {error.strerror}.", USAGE)
    if not found:
        fail(f"there is no bug report in {folder}.", USAGE)
    for one in found:
        click.echo(_line(one))
    counts = {status: sum(one.status == status for one in found) for status in _ORDER}
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items() if count) + ".")
    if counts["still there"] or counts["flaky"]:
        sys.exit(FAILED)
    sys.exit(NO_VERDICT if counts["broken"] else DONE)


def _line(one: Replayed) -> str:
    target = f" of {one.report.target}" if one.report else ""
    law = one.report.violation.law if one.report else ""
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.status:<12} {one.folder.name}  {law}{target}{reason}".rstrip()
