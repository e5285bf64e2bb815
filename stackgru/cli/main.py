"""The command line. Torch, hypothesis and pytest are imported when a command runs."""

from __future__ import annotations

import click

from stackgru import __version__
from stackgru.cli.atlas import atlas
from stackgru.cli.check import check
from stackgru.cli.convert import convert
from stackgru.cli.laws import laws
from stackgru.cli.replay import replay
from stackgru.cli.repro import repro


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stackgru")
def cli() -> None:
    """Is this GRU interchangeable with torch.nn.GRU?

    stackgru checks an implementation against the laws that nn.GRU obeys, on random cases, and
    shows the smallest case where they differ.
    """


for command in (check, atlas, laws, repro, replay, convert):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    cli()
