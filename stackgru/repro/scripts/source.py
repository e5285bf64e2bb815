"""The source of a function as a script shows it: without annotations, and notes to other tools."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_WIDTH = 100
_NOTES = re.compile(r"  # (type: ignore|noqa|pragma).*")
_HEAD = re.compile(r"^( *def \w+)\(\n((?: .*\n)+?) *\):$", re.MULTILINE)


def source_of(function: Callable[..., Any]) -> str:
    """Return a function's source, at the left margin."""
    text = textwrap.dedent(inspect.getsource(function))
    text = _NOTES.sub("", text)
    if text.startswith("@"):
        text = "\n".join(text.splitlines()[ast.parse(text).body[0].lineno - 1 :]) + "\n"
    for start, end in sorted(_annotations(text), reverse=True):
        text = text[:start] + text[end:]
    return _HEAD.sub(_on_one_line, text)


def _annotations(text: str) -> Iterator[tuple[int, int]]:
    """Yield where annotations begin and end, with what sets them off."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def end_of(node: ast.expr) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: S101,PT018
        return starts[node.end_lineno - 1] + node.end_col_offset

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and node.annotation is not None:
            name = starts[node.lineno - 1] + node.col_offset + len(node.arg)
            yield name, end_of(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield text.rindex(" -> ", 0, end_of(node.returns)), end_of(node.returns)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield end_of(node.target), end_of(node.annotation)


def _on_one_line(match: re.Match[str]) -> str:
    """Return a function's first line, in one if it fits."""
    arguments = ", ".join(line.strip().rstrip(",") for line in match[2].splitlines())
    line = f"{match[1]}({arguments}):"
    return line if len(line) <= _WIDTH else match[0]
