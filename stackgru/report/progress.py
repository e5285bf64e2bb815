"""Progress while laws are tried: on a terminal what moves and goes, elsewhere one line per law."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from stackgru.outcomes import Violation
from stackgru.report.law_result import LawResult
from stackgru.report.terminal import result_line, status_text


class Progress:
    """Shows each law's result as it comes, and violations as they are found, on standard error.

    On a terminal it leaves nothing behind: the report has all of it.

    Args:
        target: what is being checked.
    """

    def __init__(self, target: str) -> None:
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._target = target
        self._done = 0
        self._found: dict[str, Text] = {}
        self._bar = _BarBelow(
            self._found,
            self._console,
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("laws"),
            TimeElapsedColumn(),
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(f"checking {target}", total=None)

    def __enter__(self) -> Progress:
        """Start."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the moving line away."""
        self._bar.stop()

    def update(self, result: LawResult, total: int) -> None:
        """Show one law's result.

        Args:
            result: what became of it.
            total: how many laws there are.
        """
        self._done += 1
        self._bar.update(self._task, completed=self._done, total=total)
        if result.violation is not None:
            self._found[result.name] = status_text(result_line(result), result.status)
        if self._found and self._done == total:
            what = f"comparing {self._target} with known variants"
            self._bar.update(self._task, description=what)
        self._write(f"[{self._done:>{len(str(total))}}/{total}] {result_line(result)}")

    def found(self, violation: Violation) -> None:
        """Show a violation that is still being shrunk.

        Args:
            violation: what was found.
        """
        line = f"{violation.law:<22} violated so far: {violation.case}"
        if violation.law not in self._found:
            self._write(line)
        self._found[violation.law] = status_text(line, "violated")

    def _write(self, line: str) -> None:
        """Write a line, unless this is a terminal."""
        if not self._console.is_terminal:
            self._console.file.write(line + "\n")
            self._console.file.flush()


class _BarBelow(Bar):
    """A moving line, below what was found."""

    def __init__(
        self, found: dict[str, Text], console: Console, *columns: ProgressColumn, **options: Any
    ) -> None:
        self._above = found
        self._size = console.size
        super().__init__(*columns, console=console, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the last lines of what was found, as many as there is room for, and the bar."""
        for line in list(self._above.values())[-max(1, self._size.height - 2) :]:
            line.truncate(self._size.width, overflow="ellipsis")
            yield line
        yield self.make_tasks_table(self.tasks)
