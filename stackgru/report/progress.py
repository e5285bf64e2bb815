"""Progress while laws are tried: a moving line on a terminal, one line per law elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar

from stackgru.report.report import LawResult
from stackgru.report.terminal import result_line, status_text


class Progress:
    """Shows each law's result as it comes, on standard error.

    Args:
        target: what is being checked.
    """

    def __init__(self, target: str) -> None:
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._target = target
        self._done = 0
        self._violated = False
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("laws"),
            TimeElapsedColumn(),
            console=self._console,
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
        self._violated |= result.violation is not None
        if self._violated and self._done == total:
            what = f"comparing {self._target} with known variants"
            self._bar.update(self._task, description=what)
        line = f"[{self._done:>{len(str(total))}}/{total}] {result_line(result)}"
        if self._console.is_terminal:
            self._console.print(status_text(line, result.status), overflow="ellipsis", no_wrap=True)
        else:
            self._console.file.write(line + "\n")
            self._console.file.flush()
