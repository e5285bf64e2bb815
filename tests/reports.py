"""A script for every fault of the catalogue: python -m tests.reports [--only GLOB] [-n N].

For each fault the first law that it violates is found, the case shrunk in both stages, and the
script written; in clean processes the script must end with 1, and with 0 once the right class that
the fault was made from stands in its place. Prints a table, and ends with 1 if one does not.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import inspect
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import nn

from stackgru.cases import Case
from stackgru.cell import StackingGRUCell
from stackgru.evidence import Violation
from stackgru.laws import all_laws
from stackgru.options import Options
from stackgru.replaying import run_script
from stackgru.report import Finding
from stackgru.reporting.bugs import bug_for
from stackgru.running import runs_for
from stackgru.simplifying import violation_in
from stackgru.targets import Target, load
from tests import faults

_SIZES = ("num_layers", "seq_len", "batch", "hidden_size", "input_size")
_HEAD = (
    "| fault | law | layers, steps, rows, units, inputs | a smaller one shows it | digits before "
    "and after stage two | seconds | lines | with the fault | with a right class |"
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
    failed = 0
    with ProcessPoolExecutor(given.n, mp_context=get_context("spawn")) as pool:
        for good, line in pool.map(row, chosen):
            failed += not good
            print(line, flush=True)
    print(f"\n{len(chosen) - failed} of {len(chosen)} scripts show their fault, and it alone.")
    return 1 if failed else 0


def row(fault: type[nn.Module]) -> tuple[bool, str]:
    """Return whether a fault's script does as it should, and the fault's row of the table."""
    torch.set_num_threads(1)
    name, strict = fault.__name__, fault in faults.REFUSALS
    found = first_violation(fault, strict)
    if found is None:
        return False, f"| `{name}` | none found | | | | | | | |"
    target = load(f"{fault.__module__}:{name}")
    law = all_laws()[found.law]
    bug = bug_for(target, law, found, strict=strict)
    statuses = [status_of(bug.script), status_of(with_right_class(bug.script, fault))]
    case = Case.parse(bug.report.case)
    sizes = ", ".join(str(getattr(case, size)) for size in _SIZES)
    smaller = smaller_case(target, found.law, case, strict)
    digits = " and ".join(map(str, bug.report.digits)) or "-"
    lines = len(bug.script.splitlines())
    texts = [str(status) if status is not None else "it raises" for status in statuses]
    line = (
        f"| `{name}` | `{found.law}` | {sizes} | {smaller} | {digits} | {bug.report.seconds:.1f} "
        f"| {lines} | {texts[0]} | {texts[1]} |"
    )
    return statuses == [1, 0], line


def first_violation(fault: type[nn.Module], strict: bool) -> Finding | None:
    """Return the violation of the first law, in the catalogue's order, that is violated."""
    for run in runs_for(fault, Options(seed=1, strict=strict), {}):
        with contextlib.suppress(Violation, pytest.skip.Exception, pytest.fail.Exception):
            run.run()
        if run.law is not None and run.result is not None and run.result.violation is not None:
            return run.result.violation
    return None


def with_right_class(script: str, fault: type[nn.Module]) -> str:
    """Return a script in which the right class that a fault was made from takes its place."""
    every = (*faults.CELLS, *faults.SEQUENCES, *faults.REFUSALS)
    right = next(one for one in fault.__mro__[1:] if one not in every and one is not nn.Module)
    if right is object:
        right = StackingGRUCell
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
    smallest = {one.name: 1 for one in fields(Case) if one.name in _SIZES}
    for size, least in smallest.items():
        if getattr(case, size) <= least:
            continue
        for seed in range(20):
            one = replace(case, seed=seed, **{size: getattr(case, size) - 1})
            if violation_in(target, all_laws()[law], one, strict=strict) is not None:
                return size
    return "no"


if __name__ == "__main__":
    sys.exit(main())
