"""The command that puts reports of several builds beside each other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stackgru.cli.common import NO_VERDICT, USAGE, errors_shown, fail

_EPILOG = """\b
Examples:
  stackgru check my_model:Stack --json torch-2.6.json      # under one torch
  stackgru check my_model:Stack --json torch-2.13.json     # under another
  stackgru atlas torch-2.6.json torch-2.13.json
  stackgru atlas --markdown torch-*.json > atlas.md
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--markdown", is_flag=True, help="Print Markdown: a table of laws and builds.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything to this file as JSON.")
@click.option("--html", "html_file", metavar="FILE", help="Write a page that shows it.")
def atlas(
    files: tuple[Path, ...], markdown: bool, json_file: str | None, html_file: str | None
) -> None:
    """Show what differs between builds of torch.

    FILES are reports that "stackgru check --json" wrote, in the order in which they are shown. What
    is the same on every build is counted; what is not is shown with its reason.
    """
    with errors_shown("there is no atlas"):
        from stackgru.report import atlas as made
        from stackgru.report.files import json_text, write_text
        from stackgru.report.page import atlas_page as page
        from stackgru.report.report import BrokenReport
        from stackgru.report.terminal import terminal_size

        try:
            found = made.atlas(files)
        except BrokenReport as error:
            fail(str(error), USAGE)
        width, _ = terminal_size(sys.stdout)
        click.echo(made.markdown(found) if markdown else made.text(found, width), nl=False)
        for path in filter(None, (json_file, html_file)):
            content = json_text(found.to_dict()) if path == json_file else page(found)
            try:
                write_text(path, content)
            except OSError as error:
                fail(f"the atlas could not be written to {path}: {error.strerror}.", NO_VERDICT)
