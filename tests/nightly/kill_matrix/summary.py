"""The summary on the terminal: what is caught, by what, and who is accused wrongly."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.nightly.kill_matrix.catalogue import Subject
from tests.nightly.kill_matrix.plans import FIRST_SEED
from tests.nightly.kill_matrix.results import FIRST, METHODS, PLAIN_TEST, SEED_EXAMPLE, Store

#: Seconds within which the median fault must show its first violation.
FIRST_LIMIT = 10.0
_GROUPS = ("cells", "sequences", "refusals")


@dataclass(frozen=True)
class Counts:
    """In how many seeds something was decided on a subject, and in how many it was violated."""

    caught: int
    decided: int

    @property
    def always(self) -> bool:
        """Whether it was violated in every seed."""
        return 0 < self.decided == self.caught


class Summary:
    """What all results so far say.

    Args:
        subjects: faults and right variants.
        laws: names of the laws that count.
        store: the results.
        seed: the seed of the full table.
    """

    def __init__(
        self, subjects: Sequence[Subject], laws: Sequence[str], store: Store, seed: int
    ) -> None:
        self.faults = [subject for subject in subjects if subject.is_fault]
        self.right = [subject for subject in subjects if not subject.is_fault]
        self.laws = list(laws)
        self.store = store
        self.seed = seed

    def by_laws(self, subject: Subject) -> Counts:
        """In how many seeds some law is violated; a seed without one counts if all were run."""
        caught, run = set(), Counter()
        for _, seed, result in self.store.of(subject, self.laws):
            run[seed] += 1
            if result["status"] == "violated":
                caught.add(seed)
        whole = {seed for seed, number in run.items() if number == len(self.laws)}
        return Counts(len(caught), len(caught | whole))

    def by_method(self, method: str) -> Callable[[Subject], Counts]:
        """In how many seeds what a user would write instead fails."""

        def count(subject: Subject) -> Counts:
            statuses = [result["status"] for _, _, result in self.store.of(subject, [method])]
            return Counts(statuses.count("violated"), len(statuses))

        return count

    def missed(self) -> list[tuple[Subject, list[int]]]:
        """Return the faults that no law catches in some seed, and those seeds."""
        found = []
        for subject in self.faults:
            seeds: dict[int, list[str]] = {}
            for _, seed, result in self.store.of(subject, self.laws):
                seeds.setdefault(seed, []).append(result["status"])
            missed = [
                seed
                for seed, statuses in seeds.items()
                if "violated" not in statuses and len(statuses) == len(self.laws)
            ]
            if missed:
                found.append((subject, missed))
        return found

    def unfinished(self) -> Counter[tuple[str, str, str, str]]:
        """Count the runs that crashed or timed out, by subject, law, status and message."""
        return Counter(
            (subject.name, law, result["status"], str(result.get("message")))
            for subject in (*self.faults, *self.right)
            for law, _, result in self.store.of(subject, (*self.laws, *METHODS))
            if result["status"] in ("crashed", "timed out")
        )

    def accusations(self) -> list[tuple[Subject, str, int, dict]]:
        """Return every violation of a law by a right variant."""
        return [
            (subject, law, seed, result)
            for subject in self.right
            for law, seed, result in self.store.of(subject, self.laws)
            if result["status"] == "violated"
        ]

    @property
    def ok(self) -> bool:
        """Whether every fault is caught in every seed and no right variant is accused."""
        names = {subject.name for subject in self.right}
        unfinished = any(name in names and law in self.laws for name, law, *_ in self.unfinished())
        return not (self.missed() or self.accusations() or unfinished)

    def show(self, console: Console) -> None:
        """Print all of it; what is wrong comes last."""
        console.print(self._kinds())
        if any(self.store.get(fault, law, self.seed) for fault in self.faults for law in self.laws):
            console.print(self._laws())
        self._show_first(console)
        self._show_unfinished(console)
        self._show_wrong(console)

    def _kinds(self) -> Table:
        groups = [g for g in _GROUPS if any(s.group == g for s in (*self.faults, *self.right))]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        table.add_column("")
        for column in (*groups, "all"):
            table.add_column(column, justify="right")

        def add(label: str, subjects: Sequence[Subject], counts: Callable[[Subject], bool]) -> None:
            each = Counter(subject.group for subject in subjects if counts(subject))
            table.add_row(label, *(str(each[group]) for group in groups), str(each.total()))

        add("faults", self.faults, lambda subject: True)
        for label, count in self._judges("caught by"):
            add(f"{label} in every seed", self.faults, lambda s, c=count: c(s).always)
            add("  in some seeds only", self.faults, lambda s, c=count: _sometimes(c(s)))
        table.add_section()
        add("right variants", self.right, lambda subject: True)
        for label, count in self._judges("accused by"):
            add(label, self.right, lambda s, c=count: c(s).caught > 0)
        seeds = max((self.by_laws(fault).decided for fault in self.faults), default=0)
        tried = sum(
            result["examples"] for s in self.right for _, _, result in self.store.of(s, self.laws)
        )
        ratio = max(
            (
                result.get("ratio", 0.0)
                for s in self.right
                for _, _, result in self.store.of(s, self.laws)
            ),
            default=0.0,
        )
        table.caption = (
            f"seeds a fault: up to {seeds}; law examples on right variants: {tried:,}, "
            f"the largest difference at {ratio:.2f} of its bound"
        )
        return table

    def _judges(self, verb: str) -> list[tuple[str, Callable[[Subject], Counts]]]:
        return [
            (f"{verb} stackgru", self.by_laws),
            (f"{verb} the seed's example", self.by_method(SEED_EXAMPLE)),
            (f"{verb} plain Hypothesis", self.by_method(PLAIN_TEST)),
        ]

    def _laws(self) -> Table:
        """What each law is there for, by the full table of one seed."""
        caught: dict[str, dict[str, int]] = {}
        for fault in self.faults:
            found = ((law, self.store.get(fault, law, self.seed)) for law in self.laws)
            caught[fault.name] = {
                law: result["examples"]
                for law, result in found
                if result and result["status"] == "violated"
            }
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title=f"laws, seed {self.seed}")
        for column, side in (("law", "left"), ("caught", "right"), ("first", "right")):
            table.add_column(column, justify=side, no_wrap=True)
        table.add_column("there for")
        for law in self.laws:
            mine = [name for name in caught if law in caught[name]]
            first = sum(_is_first(law, caught[name]) for name in mine)
            table.add_row(law, str(len(mine)), str(first), self._there_for(law, caught))
        table.caption = "first: faults that the law catches after fewer examples than any other"
        return table

    def _there_for(self, law: str, caught: dict[str, dict[str, int]]) -> str:
        alone = [name for name, laws in caught.items() if set(laws) == {law}]
        explained = [fault.name for fault in self.faults if fault.law == law]
        parts = []
        if alone:
            parts.append(f"catches alone: {', '.join(alone)}")
        else:
            parts += [f"explains best: {name}" for name in explained if law in caught[name]]
        parts += [
            f"[bold red]does not catch {name}[/]" for name in explained if law not in caught[name]
        ]
        return "; ".join(parts) or "[bold red]nothing[/]"

    def _show_first(self, console: Console) -> None:
        found = [(self.store.get(fault, FIRST, FIRST_SEED), fault) for fault in self.faults]
        times = {fault.name: r["seconds"] for r, fault in found if r and r["status"] == "violated"}
        tried = sum(result is not None for result, _ in found)
        if not tried:
            return
        slowest = sorted(times, key=lambda name: -times[name])[:3]
        median = statistics.median(times.values()) if times else float("inf")
        style = "" if median < FIRST_LIMIT else "[bold red]"
        console.print(
            f"{style}Time to the first violation: median {median:.1f} s over {len(times)} of "
            f"{tried} faults (must be under {FIRST_LIMIT:g} s); slowest: "
            + ", ".join(f"{escape(name)} {times[name]:.1f} s" for name in slowest)
        )

    def _show_unfinished(self, console: Console) -> None:
        for (name, law, status, message), number in self.unfinished().items():
            console.print(
                f"[yellow]{status}[/], no kill: {escape(f'{law} on {name}')}, {number} times: "
                + escape(message)
            )

    def _show_wrong(self, console: Console) -> None:
        for subject, law, seed, result in self.accusations():
            console.print(
                f"[bold red]ACCUSED[/] {escape(subject.spec)}, a right variant, by {law}, "
                f"seed {seed}: {escape(result['message'])}\n  case: {escape(result['case'])}"
            )
        for subject, seeds in self.missed():
            shown = ", ".join(map(str, seeds))
            console.print(f"[bold red]MISSED[/] {escape(subject.spec)} by all laws in seed {shown}")


def _sometimes(counts: Counts) -> bool:
    return 0 < counts.caught < counts.decided


def _is_first(law: str, examples: dict[str, int]) -> bool:
    return all(examples[law] < number for other, number in examples.items() if other != law)
