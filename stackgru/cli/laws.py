"""The command that lists the laws."""

from __future__ import annotations

import sys

import click


@click.command()
def laws() -> None:
    """List every law, its family and its statement."""
    from stackgru.laws.registry import all_laws
    from stackgru.report.terminal import law_list, terminal_size

    width, colour = terminal_size(sys.stdout)
    rows = [(law.family, law.name, law.statement) for law in all_laws().values()]
    text = law_list(rows, width=width, colour=colour)
    click.echo(text, nl=False, color=colour)
