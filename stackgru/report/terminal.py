"""A report as text for a terminal: the verdict table, the violations, the build, the sentence."""

from __future__ import annotations

import io
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stackgru.outcomes import Violation
from stackgru.report.law_result import LawResult
from stackgru.report.report import QUESTIONS, Report

_COLOURS = {
    "holds": "green",
    "refused": "yellow",
    "violated": "bold red",
    "known": "yellow",
    "not applicable": "dim",
    "crashed": "bold magenta",
    "timed out": "bold magenta",
    "not run": "dim",
    "yes": "green",
    "no": "bold red",
    "not shown": "dim",
}

_LABEL = "  case:       "


def render(report: Report, *, width: int, colour: bool, details: bool = True) -> str:
    """Return the report as text.

    Args:
        report: the report.
        width: columns.
        colour: whether to use colour.
        details: whether to show the violations in full.

    Returns:
        The text; its last line is the verdict in one sentence.
    """
    console = _console(width, colour)
    seed = "" if report.seed is None else f", seed {report.seed}"
    options = ("with its Convention",) if report.convention is None else report.convention
    target = " ".join([report.target, *options])
    alone = "" if report.is_isolated else ", not isolated"
    device = dict(report.build_facts).get("device", "cpu")
    alone += "" if device == "cpu" else ", without cuDNN and TF32"
    about = f"{target} ({report.kind}) against nn.GRU of torch {report.torch_version}{seed}{alone}"
    console.print(Text(about, style="bold"), soft_wrap=True)
    console.print()
    console.print(_table(report))
    if details:
        for violation in report.violations:
            console.print()
            found = violation_text(
                violation, report.target, report.convention, strict=report.strict
            )
            for line in found.splitlines():
                indent = " " * (len(_LABEL) if line.startswith("  ") else 2)
                # What is copied, such as a command, keeps its words whole.
                whole = line.startswith(("  again:", "  script:"))
                wrapped = textwrap.wrap(
                    line,
                    width,
                    subsequent_indent=indent,
                    break_on_hyphens=not whole,
                    break_long_words=not whole,
                )
                console.print("\n".join(wrapped), soft_wrap=True)
    if report.limits or report.weights:
        console.print()
        console.print(_about_target(report))
    if report.build_facts:
        console.print()
        console.print(_facts(report))
    console.print()
    console.print(_answers(report))
    if report.diagnosis:
        console.print()
        console.print(Text("what is it?", style="bold"))
        for line in textwrap.wrap(
            f"  {report.diagnosis['sentence']}", width, subsequent_indent="    "
        ):
            console.print(line, soft_wrap=True)
    console.print()
    console.print(Text(report.sentence, style="green" if report.ok else "bold red"), soft_wrap=True)
    return _printed(console)


def violation_text(
    violation: Violation,
    target: str,
    convention: Sequence[str] | None = (),
    again: str = "",
    *,
    strict: bool = False,
) -> str:
    """Return a violation as a few lines, the last of which reruns the law on the target.

    Args:
        violation: the violation.
        target: the target's name.
        convention: the options that specify its convention; None if only a Convention can.
        again: what reruns it, if it is not ``stackgru check``.
        strict: whether differences that are normally only reported count.
    """
    lines = [
        f"{violation.law} is violated: {violation.message}",
        f"{_LABEL}{violation.case}",
    ]
    if violation.first_wrong_at and not violation.first_wrong_at.startswith(f"{violation.place}:"):
        lines.append(f"  first at:   {violation.first_wrong_at}")
    if violation.gate:
        lines.append(f"  gate:       {violation.gate}")
    if violation.script:
        lines.append(f"  script:     {violation.script}")
    if violation.problem:
        lines.append(f"  no script:  {violation.problem}")
    words = [target, *(convention or ()), "--laws", violation.law, *["--strict"] * strict]
    again = again or f"stackgru check {shlex.join(words)}"
    if convention is None:
        again = f'from Python, stackgru.check(the same Convention, laws=["{violation.law}"]'
        again += ", strict=True)" if strict else ")"
    lines.append(f"  again:      {again}")
    return "\n".join(lines)


def result_line(result: LawResult) -> str:
    """Return one law's result on one line."""
    case = f": {result.violation.case}" if result.violation else ""
    return f"{result.name:<22} {result.status:<15} {_remark(result)}{case}".rstrip()


def status_text(text: str, status: str) -> Text:
    """Return a text in its status' colour."""
    return Text(text, style=_COLOURS[status])


def law_list(rows: Iterable[tuple[str, str, str]], *, width: int, colour: bool) -> str:
    """Return laws, given as (family, name, statement), as text, family by family."""
    console = _console(width, colour)
    last = ""
    for family, name, statement in rows:
        if family != last:
            console.print(Text(family, style="bold"))
            last = family
        table = _pairs(first_width=22)
        table.add_row(f"  {name}", statement)
        console.print(table)
    return _printed(console)


def terminal_size(stream: TextIO) -> tuple[int, bool]:
    """Return a stream's width, 80 if it is not a terminal, and whether to use colour there."""
    console = Console(file=stream)
    return (console.width if console.is_terminal else 80), (
        console.is_terminal and not console.no_color and console.color_system is not None
    )


def _console(width: int, colour: bool) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        emoji=False,
        markup=False,
    )


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - made by _console
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def _remark(result: LawResult) -> str:
    if result.status == "holds":
        return f"{result.examples} examples" + (f", {result.reason}" if result.reason else "")
    if result.violation is not None and result.status == "violated":
        return f"by example {result.examples}"
    return result.reason or ""


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    family = ""
    for result in report.results:
        if result.family != family:
            family = result.family
            table.add_row(Text(family, style="bold"))
        status = Text(result.status, style=_COLOURS[result.status])
        table.add_row(f"  {result.name}", status, _remark(result))
    return table


def _about_target(report: Report) -> Table:
    table = _pairs()
    table.add_row(Text("of this target", style="bold"), "")
    for what, why in report.limits.items():
        table.add_row(f"  not {what}", why)
    if report.weights:
        table.add_row("  weights", report.weights)
    return table


def _facts(report: Report) -> Table:
    table = _pairs()
    table.add_row(Text("on this build", style="bold"), "")
    for name, value in report.build_facts.items():
        table.add_row(f"  {name.replace('_', ' ')}", readable(value))
    return table


def readable(value: object) -> str:
    """Return a fact of the build as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {readable(part)}" for key, part in value.items()) or "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _answers(report: Report) -> Table:
    table = _pairs()
    table.add_row(Text("is it nn.GRU?", style="bold"), "")
    for name, answer in report.answers.items():
        table.add_row(f"  {QUESTIONS[name]}", Text(answer, style=_COLOURS[answer]))
    return table


def _pairs(first_width: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=first_width)
    table.add_column(overflow="fold")
    return table
