"""Draw docs/check.svg, the README's picture, from a real run (torch 2.13.0, opacus 1.6.0).

python docs/picture.py
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

import stackgru
from stackgru.report.terminal import render

TARGET, LAW = "opacus.layers:DPGRU", "one-step"
WIDTH = 84
#: What of the output is shown: from a line that starts so, up to the next empty line.
SHOWN = (TARGET, f"{LAW} is violated", "is it nn.GRU?", "what is it?")

#: Rich's own format loads fonts from the web; this one takes what the reader has.
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def excerpt(output: str) -> Text:
    """Return the parts of a coloured output that the picture shows, below the command."""
    command = Text(f"$ stackgru check {TARGET} --seed 1", style="bold")
    parts = [Text.from_ansi(part) for part in output.split("\n\n")]
    shown = [part for part in parts if part.plain.startswith(SHOWN)]
    return Text("\n\n").join([command, *shown])


def main() -> None:
    """Run the check and draw it."""
    report = stackgru.check(TARGET, seed=1)
    output = render(report, width=WIDTH, colour=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(excerpt(output))
    svg = console.export_svg(title="stackgru", code_format=FORMAT, unique_id="check")
    Path(__file__).with_name("check.svg").write_text(svg)


if __name__ == "__main__":
    main()
