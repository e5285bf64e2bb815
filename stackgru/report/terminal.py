"""A report as text for a terminal: causes, laws, the build, answers, and the sentence."""

from __future__ import annotations

import io
import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stackgru.outcomes import Violation
from stackgru.report.answers import QUESTIONS
from stackgru.report.causes import Cause
from stackgru.report.law_result import LawResult
from stackgru.report.report import Report

_COLOURS = {
    "holds": "green",
    "refused": "yellow",
    "violated": "bold red",
    "known": "yellow",
    "gone": "bold red",
    "not applicable": "dim",
    "crashed": "bold magenta",
    "timed out": "bold magenta",
    "not run": "dim",
    "yes": "green",
    "no": "bold red",
    "not tried": "dim",
}

#: What is told by causes and by a number.
_TOLD = ("holds", "not applicable", "violated", "not run")

_LABEL = "  case:       "
#: Characters of a remark, unless all is shown.
_REMARK = 110
#: Characters of a cause; -v shows its violations in full.
_LONG = 140
#: Laws of a cause that are named on one line.
_NAMED_LAWS = 4


def render(
    report: Report, *, width: int, colour: bool, details: bool = True, verbose: bool = False
) -> str:
    """Return the report as text.

    Args:
        report: the report.
        width: columns.
        colour: whether to use colour.
        details: whether to show where causes were seen, and what shows them again.
        verbose: whether to show every law, each violation in full and the facts of the build.

    Returns:
        The text; its last line is the verdict in one sentence.
    """
    console = _console(width, colour)
    console.print(Text(heading(report), style="bold"), soft_wrap=True)
    console.print()
    if verbose:
        console.print(_table(report.results))
        for violation in report.violations:
            console.print()
            _print_wrapped(
                console,
                violation_text(violation, report.target, report.convention, strict=report.strict),
            )
    for number, cause in enumerate(report.causes, 1):
        if verbose and number == 1:
            console.print()
        _print_cause(console, report, number, cause, details=details)
    beside = [one for one in report.results if one.known or one.status not in _TOLD]
    if beside and not verbose:
        console.print(_table(beside, families=False, longest=_REMARK))
    console.print(count(report).removesuffix(".") + ("." if verbose else " (-v lists them)."))
    _print_facts(console, report, verbose=verbose)
    console.print()
    console.print(_answers(report))
    console.print()
    console.print(Text(report.sentence, style="green" if report.ok else "bold red"), soft_wrap=True)
    return _printed(console)


def heading(report: Report) -> str:
    """Return what was checked against what."""
    seed = "" if report.seed is None else f", seed {report.seed}"
    options = ("with its Convention",) if report.convention is None else report.convention
    target = " ".join([report.target, *options])
    alone = "" if report.is_isolated else ", not isolated"
    device = dict(report.build_facts).get("device", "cpu")
    alone += "" if device == "cpu" else ", without cuDNN and TF32"
    return f"{target} ({report.kind}) against nn.GRU of torch {report.torch_version}{seed}{alone}"


def _print_cause(
    console: Console, report: Report, number: int, cause: Cause, *, details: bool
) -> None:
    """Print what is wrong, where it was seen, by which laws, and what shows it again."""
    found = cause.violation
    lead = f"{number}  "
    sentence = textwrap.shorten(cause.sentence, _LONG, placeholder=" ...")
    _print_wrapped(console, f"{lead}{sentence}", style="bold red", indent=len(lead))
    seen = re.sub(r" \(\d+ of \d+ elements differ, .*\)$", "", found.message)
    lines = [] if found.message in cause.sentence else [f"saw:     {seen}"]
    lines.append(f"case:    {found.case}")
    if cause.variant is None and found.first_wrong_at:
        lines.append(f"first:   {found.gate or found.first_wrong_at}")
    names = [found.law, *(name for name in cause.laws if name != found.law)]
    more = len(names) - _NAMED_LAWS
    lines.append("laws:    " + ", ".join(names[:_NAMED_LAWS]) + (f" and {more} more" * (more > 0)))
    if cause.grown:
        lines.append(f"known:   to {', '.join(cause.grown)} alone; it has grown")
    if found.problem:
        lines.append(f"script:  none: {found.problem}")
    shown = f"again:   {rerun(report, found.law)}"
    lines.append(f"script:  {found.script}" if found.script else shown)
    for line in lines if details else ():
        is_copied = line.startswith(("script:", "again:"))
        _print_wrapped(console, f"{' ' * len(lead)}{line}", indent=len(lead) + 9, whole=is_copied)


def _print_facts(console: Console, report: Report, *, verbose: bool) -> None:
    """Print what is known of the target, and if verbose of the build, and what the target is."""
    if report.limits or report.weights:
        console.print()
        console.print(_about_target(report))
    if report.build_facts and verbose:
        console.print()
        console.print(_facts(report))
    is_told = any(cause.variant for cause in report.causes)
    if report.diagnosis and (verbose or (report.diagnosis["variants"] and not is_told)):
        console.print()
        console.print(Text("what is it?", style="bold"))
        _print_wrapped(console, f"  {report.diagnosis['sentence']}", indent=4)


def _print_wrapped(
    console: Console, text: str, *, style: str = "", indent: int | None = None, whole: bool = False
) -> None:
    """Print lines wrapped; what is copied, such as a command, keeps its words whole."""
    for line in text.splitlines():
        is_copied = whole or line.startswith(("  again:", "  script:"))
        inner = len(_LABEL) if line.startswith("  ") else 2
        wrapped = textwrap.wrap(
            line,
            console.width,
            subsequent_indent=" " * (inner if indent is None else indent),
            break_on_hyphens=not is_copied,
            break_long_words=not is_copied,
        )
        console.print(Text("\n".join(wrapped), style=style), soft_wrap=True)


def count(report: Report) -> str:
    """Return how many laws hold, and how many do not apply."""
    statuses = [one.status for one in report.results]
    examples = sum(one.examples for one in report.results if one.status == "holds")
    holds, without = statuses.count("holds"), statuses.count("not applicable")
    text = f"{holds} law{'s hold' if holds != 1 else ' holds'} in {examples:,} cases"
    if without:
        text += f", {without} {'do' if without != 1 else 'does'} not apply"
    reasons = [one.reason for one in report.results if one.status == "not run"]
    if reasons:
        text += f", {len(reasons)} {'were' if len(reasons) != 1 else 'was'} not run: {reasons[0]}"
    return f"{text}."


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
    again = again or _again(target, violation.law, convention, strict=strict)
    lines.append(f"  again:      {again}")
    return "\n".join(lines)


def rerun(report: Report, law: str) -> str:
    """Return what runs one law of a report again."""
    return _again(report.target, law, report.convention, strict=report.strict)


def _again(target: str, law: str, convention: Sequence[str] | None, *, strict: bool) -> str:
    """Return what runs one law again."""
    if convention is None:
        asked = ", strict=True" if strict else ""
        return f'from Python, stackgru.check(the same Convention, laws=["{law}"]{asked})'
    words = [target, *convention, "--laws", law, *["--strict"] * strict]
    return f"stackgru check {shlex.join(words)}"


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


def _table(
    results: Iterable[LawResult], *, families: bool = True, longest: int | None = None
) -> Table:
    """Return a table of laws, below their families if wanted; remarks may be cut short."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    family = ""
    for result in results:
        if families and result.family != family:
            family = result.family
            table.add_row(Text(family, style="bold"))
        status = Text(result.status, style=_COLOURS[result.status])
        remark = _remark(result)
        if longest is not None:
            remark = textwrap.shorten(remark, longest, placeholder=" ...")
        table.add_row(f"{'  ' * families}{result.name}", status, remark)
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
    """Return the answers in two columns, each "no" with the numbers of the causes that say it."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    cells = []
    for name, answer in report.answers.items():
        blamed = [str(n) for n, cause in enumerate(report.causes, 1) if name in cause.answers]
        because = f" ({', '.join(blamed)})" if blamed else ""
        cells.append((QUESTIONS[name], Text(answer + because, style=_COLOURS[answer])))
    half = (len(cells) + 1) // 2
    for row in zip(cells[:half], [*cells[half:], ("", Text())], strict=False):
        table.add_row(*(part for cell in row for part in cell))
    return table


def _pairs(first_width: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=first_width)
    table.add_column(overflow="fold")
    return table
