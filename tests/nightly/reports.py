"""A script for every fault of the catalogue: python -m tests.nightly.reports [--only GLOB] [-n N].

For each fault the first law that it violates is found, the case shrunk in both stages, and the
script written; in clean processes the script must end with 1, and with 0 once the right class that
the fault was made from stands in its place. Prints a table and its medians, and ends with 1 if one
does not. tests/reports.md is what it printed last.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import inspect
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import nn

from stackgru.cases.case import Case
from stackgru.engine.run import collect_runs
from stackgru.gru.cell import StackingGRUCell
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.report.report import Finding
from stackgru.repro.bug import bug_for
from stackgru.repro.replay import run_script
from stackgru.repro.simplify import violation_in
from stackgru.targets.target import Target, load
from tests.subjects import catalogue as faults

_SIZES = ("num_layers", "seq_len", "batch", "hidden_size", "input_size")
_HEAD = (
    "| fault | law | layers, steps, rows, units, inputs | a smaller one shows it | digits before "
    "and after stage two | seconds | lines | with the fault | with a right class |"
)


@dataclass(frozen=True)
class Row:
    """What became of one fault.

    Attributes:
        fault: its name.
        law: the law that it violates; "none found" if there is none.
        sizes: layers, steps, rows, units and inputs of its shrunk case.
        smaller: which of them could be one less; "no" if none.
        digits: of all numbers together, before and after the second stage of shrinking.
        seconds: how long the second stage took.
        lines: of its script.
        statuses: of its script, with the fault and with a right class; None where it raises.
    """

    fault: str
    law: str = "none found"
    sizes: tuple[int, ...] = ()
    smaller: str = ""
    digits: Sequence[int] = ()
    seconds: float = 0.0
    lines: int = 0
    statuses: tuple[int | None, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the script shows the fault, and it alone."""
        return self.statuses == (1, 0)

    def __str__(self) -> str:
        """Return the row of the table."""
        if not self.statuses:
            return f"| `{self.fault}` | {self.law} " + "| " * 7 + "|"
        sizes, digits = ", ".join(map(str, self.sizes)), " and ".join(map(str, self.digits)) or "-"
        texts = [str(status) if status is not None else "it raises" for status in self.statuses]
        return (
            f"| `{self.fault}` | `{self.law}` | {sizes} | {self.smaller} | {digits} "
            f"| {self.seconds:.1f} | {self.lines} | {texts[0]} | {texts[1]} |"
        )


def main() -> int:
    """Run the command; return 0 if every script does as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", metavar="GLOB", help="names of faults")
    parser.add_argument("-n", type=int, default=1, metavar="N", help="worker processes")
    given = parser.parse_args()
    every = dict.fromkeys((*faults.CELLS, *faults.SEQUENCES, *faults.REFUSALS))
    chosen = [one for one in every if fnmatch.fnmatchcase(one.__name__, given.only)]
    print(_HEAD)
    print("|" + "---|" * (_HEAD.count("|") - 1))
    rows = []
    with ProcessPoolExecutor(given.n, mp_context=get_context("spawn")) as pool:
        for one in pool.map(row, chosen):
            rows.append(one)
            print(one, flush=True)
    good = sum(one.good for one in rows)
    print(f"\n{good} of {len(rows)} scripts show their fault, and it alone.")
    for line in summary([one for one in rows if one.statuses]):
        print(line)
    return 0 if good == len(rows) else 1


def summary(rows: Sequence[Row]) -> list[str]:
    """Return sentences on the medians of rows."""
    if not rows:
        return []
    sizes = [statistics.median(column) for column in zip(*(one.sizes for one in rows), strict=True)]
    names = ("layers", "steps", "rows", "units", "inputs")
    told = ", ".join(f"{name} {size:g}" for name, size in zip(names, sizes, strict=True))
    fewest = sum(one.smaller == "no" for one in rows)
    lines = [
        f"Median sizes: {told}; in {fewest} of {len(rows)} cases no size can be one less.",
        f"Median lines of a script: {statistics.median(one.lines for one in rows):g}.",
    ]
    simplified = [one for one in rows if one.digits]
    if simplified:
        before, after = (statistics.median(one.digits[i] for one in simplified) for i in (0, 1))
        seconds = statistics.median(one.seconds for one in simplified)
        lines.append(
            f"Stage two, of the {len(simplified)} cases with numbers to write: "
            f"median digits {before:g} before and {after:g} after, in {seconds:.1f} s."
        )
    return lines


def row(fault: type[nn.Module]) -> Row:
    """Return what becomes of a fault."""
    torch.set_num_threads(1)
    settings.register_profile("reports", database=None)
    settings.load_profile("reports")
    name, strict = fault.__name__, fault in faults.REFUSALS
    found = first_violation(fault, strict)
    if found is None:
        return Row(name)
    target = load(f"{fault.__module__}:{name}")
    bug = bug_for(target, all_laws()[found.law], found, strict=strict)
    case = Case.parse(bug.report.case)
    return Row(
        name,
        found.law,
        tuple(getattr(case, size) for size in _SIZES),
        smaller_case(target, found.law, case, strict),
        bug.report.digits,
        bug.report.seconds,
        len(bug.script.splitlines()),
        (status_of(bug.script), status_of(with_right_class(bug.script, fault))),
    )


def first_violation(fault: type[nn.Module], strict: bool) -> Finding | None:
    """Return the violation of the first law, in the catalogue's order, that is violated."""
    for run in collect_runs(fault, Options(seed=1, strict=strict)):
        with contextlib.suppress(Violated, pytest.skip.Exception, pytest.fail.Exception):
            run.run()
        if run.law is not None and run.result is not None and run.result.violation is not None:
            return run.result.violation
    return None


def with_right_class(script: str, fault: type[nn.Module]) -> str:
    """Return a script in which the right class that a fault was made from takes its place."""
    every = (*faults.CELLS, *faults.SEQUENCES, *faults.REFUSALS)
    right = next(one for one in fault.__mro__[1:] if one not in every and one is not nn.Module)
    if right is object:
        right = nn.GRU if fault in faults.SEQUENCES else StackingGRUCell
    elif not inspect.isclass(right) or right.__module__.startswith("torch"):
        right = nn.GRU
    named = f"from {right.__module__} import {right.__name__} as {fault.__name__}"
    return re.sub(rf"^from \S+ import {fault.__name__}\b", named, script, flags=re.MULTILINE)


def status_of(script: str) -> int | None:
    """Return the exit status of a script in a clean process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repro.py"
        path.write_text(script)
        return run_script(path).status


def smaller_case(target: Target, law: str, case: Case, strict: bool) -> str:
    """Return which size could be one less, over twenty seeds; "no" if none."""
    for size in _SIZES:
        if getattr(case, size) <= least(law, size):
            continue
        for seed in range(20):
            one = replace(case, seed=seed, **{size: getattr(case, size) - 1})
            if violation_in(target, all_laws()[law], one, strict=strict) is not None:
                return size
    return "no"


def least(law: str, size: str) -> int:
    """Return the smallest size for which a law says something."""
    keys = {"num_layers": "min_layers", "seq_len": "min_steps", "batch": "min_batch"}
    key = keys.get(size, size)
    bounds = [max(one.get(key, 1), one.get(size, 1)) for one in all_laws()[law].domains]
    return int(min(bounds))


if __name__ == "__main__":
    sys.exit(main())
