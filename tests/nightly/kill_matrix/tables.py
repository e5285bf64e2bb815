"""The full table: faults, and right variants below, by laws."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from tests.nightly.kill_matrix.catalogue import Subject
from tests.nightly.kill_matrix.results import METHODS, Result, Store


def write_table(
    path: str, subjects: Sequence[Subject], laws: Sequence[str], store: Store, seed: int
) -> None:
    """Write the table, as CSV where the file is called so, else as Markdown.

    A cell is the number of examples to the first violation, blank where the law holds, "-" where it
    does not apply, "?" where it was not run, or "crashed" or "timed out".
    """
    columns = (*laws, *METHODS)
    header = ["", "kind", *columns]
    rows = []
    for is_fault in (True, False):
        for subject in subjects:
            if subject.is_fault == is_fault:
                cells = [cell(store.get(subject, law, seed)) for law in columns]
                side = "" if is_fault else "right: "
                rows.append([side + subject.name, subject.group.removesuffix("s"), *cells])
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            csv.writer(file).writerows([header, *rows])
            return
        for row in (header, ["---"] * len(header), *rows):
            file.write("| " + " | ".join(row) + " |\n")


def cell(result: Result | None) -> str:
    """Return a result as it stands in the table."""
    if result is None:
        return "?"
    special = {"holds": "", "not applicable": "-", "violated": str(result["examples"])}
    return special.get(result["status"], result["status"])
