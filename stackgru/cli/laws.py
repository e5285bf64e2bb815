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
    lines += ["", *_TRIED, *map(_tried, laws)]
    return "\n".join(lines) + "\n"


_TRIED = """\
## What each law tries

*Forms*: plain, unbatched, packed, packed and sorted. *h0*: given, left out, None. Forms, batch
first, packed rows of their own *lengths* and *both ways* are of sequences, as far as the target
accepts them. "-" is not applicable, for one of these reasons:

- where *steps* is 1 the statement is about one step;
- a law that goes step by step, cuts a sequence or takes single rows has no rows of their own
  lengths, as these have no step in common at which they end, and does not go both ways, as outputs
  depend on later steps;
- what is traced, scripted, exported, compiled, moved to the meta device or into forward mode is
  called plainly, because `nn.GRU` itself cannot be packed there;
- a law that sets the grad mode itself, as those of gradients do, does not take it from the case.

| law | kinds | modes | dtypes | steps | forms | h0 | batch first | lengths | both ways | grad ||
|---|---|---|---|---|---|---|---|---|---|---|---|""".splitlines()
_COLUMNS = ("form", "h0", "batch_first", "lengths", "bidirectional", "grad")


def _tried(law: Law) -> str:
    """Return a law's row in the table of what is tried."""
    from stackgru.cases.strategies import CALLED, MAX_STEPS
    from stackgru.options import DTYPES, KINDS

    domains = [*law.domains]
    modes = sorted({mode for one in domains for mode in [one.get("mode") or "eval, train"]})
    dtypes = {dtype for one in domains for dtype in one.get("dtypes", DTYPES)}
    halves = law.half != KINDS
    steps = {one.get("seq_len") or f"to {one.get('max_steps', MAX_STEPS)}" for one in domains}
    chosen = {name for one in domains for name in one.get("choices", CALLED)}
    cells = law.kinds == ("cell",)
    called = ["yes" if name in chosen and not cells else "-" for name in _COLUMNS]
    called[4] = "always" if domains[0].get("bidirectional") else called[4]
    row = [
        f"`{law.name}`",
        "all" if law.kinds == KINDS else law.kinds[0],
        ", ".join(dict.fromkeys(", ".join(modes).split(", "))),
        ("all" if len(dtypes) == len(DTYPES) else ", ".join(sorted(dtypes)))
        + (", half for cells" if halves and len(dtypes) == len(DTYPES) else ""),
        ", ".join(map(str, sorted(steps, key=str))),
        *called,
        ", ".join(f"`{name}`" for name in sorted(chosen - {*_COLUMNS})) or "-",
    ]
    return f"| {' | '.join(row)} |"
