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


def source_of(
    function: Callable[..., Any], last: int | None = None, *, is_law: bool = False
) -> str:
    """Return a function's source, at the left margin.

    Args:
        function: the function.
        last: the line of its file at which it stops; what comes after is left out.
        is_law: whether the first line of its docstring is kept. No other docstring is.
    """
    lines, first = inspect.getsourcelines(function)
    text = textwrap.dedent("".join(lines))
    if last is not None:
        text = _until(text, last - first + 1)
    text = _NOTES.sub("", text)
    if text.startswith("@"):
        text = "\n".join(text.splitlines()[ast.parse(text).body[0].lineno - 1 :]) + "\n"
    for start, end in sorted(_annotations(text), reverse=True):
        text = text[:start] + text[end:]
    text = _without_docstrings(text, keeps_first=is_law)
    return _HEAD.sub(_on_one_line, text)


def _until(text: str, last: int) -> str:
    """Return a function's source up to the statement in which a line is."""
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)  # noqa: S101 - a law is one
    body: list[ast.stmt] = function.body
    while True:
        statement = [one for one in body if one.lineno <= last][-1]
        within = statement.body if isinstance(statement, ast.With | ast.If) else []
        if not within or last > _end(within[-1]):
            break
        body = within
    return "".join(text.splitlines(keepends=True)[: _end(statement)])


def _without_docstrings(text: str, *, keeps_first: bool) -> str:
    """Return source without docstrings, but for the first line of its own if that is kept."""
    lines = text.splitlines(keepends=True)
    own, kinds = ast.parse(text).body[0], (ast.FunctionDef, ast.ClassDef)
    found = [one for one in ast.walk(own) if isinstance(one, kinds) and ast.get_docstring(one)]
    for node in sorted(found, key=lambda one: one.lineno, reverse=True):
        said = node.body[0]
        end, short = _end(said), []
        if node is own and keeps_first:
            is_short = end == said.lineno
            short = [lines[said.lineno - 1].rstrip() + ("" if is_short else '"""') + "\n"]
        elif end < len(lines) and not lines[end].strip():
            end += 1  # the blank line after it
        lines[said.lineno - 1 : end] = short
    return "".join(lines)


def _end(node: ast.stmt | ast.expr) -> int:
    """Return the last line of a statement."""
    assert node.end_lineno is not None  # noqa: S101 - it was parsed
    return node.end_lineno


def _annotations(text: str) -> Iterator[tuple[int, int]]:
    """Yield where annotations begin and end, with what sets them off."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def end_of(node: ast.expr) -> int:
        assert node.end_col_offset is not None  # noqa: S101 - it was parsed
        return starts[_end(node) - 1] + node.end_col_offset

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and node.annotation is not None:
            end = end_of(node.annotation)
            yield starts[node.lineno - 1] + node.col_offset + len(node.arg), end
            if text.startswith(" = ", end):  # its default, set off by no spaces without it
                yield end, end + 1
                yield end + 2, end + 3
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield text.rindex(" -> ", 0, end_of(node.returns)), end_of(node.returns)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield end_of(node.target), end_of(node.annotation)


def _on_one_line(match: re.Match[str]) -> str:
    """Return a function's first line, in one if it fits."""
    arguments = ", ".join(line.strip().rstrip(",") for line in match[2].splitlines())
    line = f"{match[1]}({arguments}):"
    return line if len(line) <= _WIDTH else match[0]
