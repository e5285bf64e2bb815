"""The command that lists the laws."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from stackgru.cli.common import errors_shown

if TYPE_CHECKING:
    from stackgru.laws.registry import Law

_ANSWERS = {
    "training": "same training",
    "seeds": "same seeds",
    "sequences": "whole sequences",
    "gradients": "same gradients",
    "conduct": "safe conduct",
    "drop-in": "drop-in",
}


@click.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown page.")
def laws(markdown: bool) -> None:
    """List every law with its statement, family by family."""
    with errors_shown("the laws cannot be listed"):
        from stackgru.laws.registry import all_laws
        from stackgru.report.terminal import law_list, terminal_size

        every = all_laws().values()
        if markdown:
            click.echo(laws_markdown(every), nl=False)
            return
        width, colour = terminal_size(sys.stdout)
        rows = [(law.family, law.name, law.statement) for law in every]
        click.echo(law_list(rows, width=width, colour=colour), nl=False, color=colour)


def laws_markdown(every: Iterable[Law]) -> str:
    """Return the catalogue as a Markdown page with one table per family."""
    from stackgru.laws.registry import CATALOGUE_VERSION

    laws = list(every)
    lines = [
        "# The laws",
        "",
        "What stackgru checks: statements that hold for `nn.GRU` in every case that they cover.",
        "",
        f"Catalogue version {CATALOGUE_VERSION}, {len(laws)} laws.",
        "",
        'The last column names the answer that a violation turns to "no". If the smallest case is',
        "in eval mode, a law of *same training*, *same seeds* or *whole sequences* turns",
        '*same values* to "no" instead, unless it is a law of randomness.',
    ]
    family = ""
    for law in laws:
        if law.family != family:
            family = law.family
            lines += ["", f"## {family}", "", "| law | statement | answer |", "|---|---|---|"]
        statement = law.statement.replace("|", "\\|")
        lines.append(f"| `{law.name}` | {statement} | {_ANSWERS[law.question]} |")
    return "\n".join(lines) + "\n"
