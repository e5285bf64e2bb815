"""A report, or an atlas, as one page of HTML that loads nothing from anywhere."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackgru.options import StackgruError
from stackgru.report.answers import QUESTIONS
from stackgru.report.atlas import Atlas
from stackgru.report.report import Report
from stackgru.report.terminal import count, heading, readable, rerun

_COLOURS = {
    "yes": "good",
    "holds": "good",
    "no": "bad",
    "violated": "bad",
    "gone": "bad",
    "crashed": "bad",
    "timed out": "bad",
    "refused": "warn",
    "known": "warn",
}
#: What a colour says is said by a sign as well.
_SIGNS = {"good": "✓", "bad": "✗", "warn": "!", "quiet": "-"}
_ORDERS = {
    "layers, steps, rows, units": ("layers", "layer after layer"),
    "steps, layers, rows, units": ("steps", "step after step"),
}


class NoTemplates(StackgruError):
    """jinja2, of which pages are made, is not installed; the message is one sentence."""


def page(report: Report) -> str:
    """Return a report as a page.

    Raises:
        NoTemplates: if jinja2 is not installed.
    """
    causes = report.causes
    return _rendered(
        "report.html.j2",
        report=report,
        heading=heading(report),
        count=count(report),
        questions=QUESTIONS,
        numbers={cause: number for number, cause in enumerate(causes, 1)},
        commands={cause: rerun(report, cause.violation.law) for cause in causes},
        maps={cause: cause.violation.map for cause in causes},
        scripts={cause: _text_of(cause.violation.script) for cause in causes},
        order=_order_of(report.build_facts),
        facts={name.replace("_", " "): readable(fact) for name, fact in report.build_facts.items()},
    )


def atlas_page(atlas: Atlas) -> str:
    """Return an atlas as a page; see page."""
    return _rendered("atlas.html.j2", atlas=atlas)


def picture(report: Report, command: str) -> str:
    """Return a picture of a report with a cause of values or masks: what is wrong, and where.

    Raises:
        NoTemplates: see page.
    """
    lines: list[dict[str, Any]] = []

    def add(text: str, style: str = "", x: int = 20) -> None:
        below = height() + (6 if style != "soft" else 0)
        width = 8 if style in ("good", "bad") else 7
        for number, part in enumerate(textwrap.wrap(text, (830 - x) // width), 1):
            lines.append({"text": part, "style": style, "x": x, "y": below + 18 * number})

    def height() -> int:
        return max((line["y"] for line in lines), default=6)

    add(f"$ {command}", "code")
    add(report.sentence, "bad" if report.causes else "good")
    for number, cause in enumerate(report.causes, 1):
        add(f"{number}  {cause.sentence}")
        add(f"seen by {', '.join(cause.laws)}", "soft", x=36)
    top = height() + 12
    for place, (name, answer) in enumerate(report.answers.items()):
        at = {"x": 20 + 280 * (place % 3), "y": top + 20 * (place // 3 + 1)}
        style = _COLOURS.get(answer, "soft")
        sign = _SIGNS.get(style, "-")
        lines.append({"text": f"{sign} {QUESTIONS[name]}: {answer}", "style": style, **at})
    shown = next(cause.violation.map for cause in report.causes if cause.violation.map)
    below = height() + 28
    return _rendered("picture.svg.j2", lines=lines, map=shown, below=below, height=below + 140)


def _rendered(template: str, **values: Any) -> str:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError as error:
        raise NoTemplates("a page needs jinja2: pip install 'stackgru[html]'.") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    statuses = [*_COLOURS, "not tried", "not applicable", "not run"]
    colours = {name: _COLOURS.get(name, "quiet") for name in statuses}
    signs = {name: _SIGNS[colour] for name, colour in colours.items()}
    return str(environment.get_template(template).render(colours=colours, signs=signs, **values))


def _text_of(path: str | None) -> str | None:
    """Return a script's text, if it can be read."""
    try:
        return Path(path).read_text(encoding="utf-8") if path else None
    except (OSError, UnicodeDecodeError):
        return None


def _order_of(facts: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return the order in which the target draws its masks, if it was measured."""
    name = facts.get("order_of_masks")
    if name is None:
        return None
    kind, text = _ORDERS.get(name, ("other", name))
    return {"kind": kind, "text": text}
