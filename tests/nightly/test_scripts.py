"""A script for every fault: it ends with 1, and with 0 once a right class takes the fault's place.

The law that explains a fault best is tried first, then those that caught it in the part "faults",
then all in the catalogue's order. The case is shrunk in both stages, and the script is run in clean
processes.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

import pytest
from torch import nn

import stackgru
from stackgru.cases.case import Case
from stackgru.laws.registry import all_laws
from stackgru.repro.bug import bug_for
from stackgru.repro.replay import run_script
from stackgru.repro.simplify import violation_in
from stackgru.targets.target import load
from tests.nightly.helpers import caught_before, chosen_laws, faults, run_law
from tests.subjects import catalogue

SEEDS = (1, 2, 3)
SIZES = {
    "num_layers": "min_layers",
    "seq_len": "min_steps",
    "batch": "min_batch",
    "hidden_size": "hidden_size",
    "input_size": "input_size",
}


_caught_by = caught_before()


@pytest.mark.parametrize("fault", faults(), ids=lambda one: one.name)
def test_a_script_shows_the_fault_and_it_alone(fault, tmp_path, record_property):
    target = load(fault.spec)
    first = [*fault.explained_by, *_caught_by.get(fault.name, ())]
    laws = sorted(chosen_laws(), key=lambda law: first.index(law) if law in first else len(first))
    results = (run_law(target, law, seed, strict=fault.strict) for seed in SEEDS for law in laws)
    findings = (result["finding"] for result in results if result.get("finding"))
    found = next((one for one in findings if is_of_the_fault(fault, one.law)), None)
    assert found, f"no law is violated with seeds {SEEDS}"
    bug = bug_for(target, all_laws()[found.law], found, strict=fault.strict)
    case = Case.parse(bug.report.violation.case)
    record_property("fault", fault.name)
    record_property("law", found.law)
    record_property("sizes", [getattr(case, size) for size in SIZES])
    record_property("smaller", smaller_case(target, found.law, case, fault.strict))
    record_property("digits", bug.report.digits)
    record_property("stage_two", bug.report.seconds)
    record_property("lines", len(bug.script.splitlines()))
    assert bug.report.violation.problem is None
    path = tmp_path / "repro.py"
    path.write_text(with_right_class(bug.script, target.factory))
    assert run_script(path).status == 0, "with a right class in its place"


def is_of_the_fault(fault, law):
    """Whether a violation is the fault's: with --strict a right class may refuse things as well."""
    right = right_class(load(fault.spec).factory)
    spec = f"{right.__module__}:{right.__name__}"
    return not fault.strict or run_law(load(spec), law, 1, strict=True)["status"] != "violated"


def right_class(fault):
    """Return the right class that a fault was made from."""
    right = next(
        one for one in fault.__mro__[1:] if one not in catalogue.FAULTS and one is not nn.Module
    )
    if right is object:
        right = nn.GRU if fault in catalogue.SEQUENCES else stackgru.StackingGRUCell
    elif not inspect.isclass(right) or right.__module__.startswith("torch"):
        right = nn.GRU
    return right


def with_right_class(script, fault):
    """Return a script in which the right class that a fault was made from takes its place."""
    right = right_class(fault)
    named = f"from {right.__module__} import {right.__name__} as {fault.__name__}"
    return re.sub(rf"^from \S+ import {fault.__name__}\b", named, script, flags=re.MULTILINE)


def smaller_case(target, law, case, strict):
    """Return which size could be one less, over twenty seeds; "no" if none."""
    for size, key in SIZES.items():
        domains = all_laws()[law].domains
        least = min(max(one.get(key, 1), one.get(size, 1)) for one in domains)
        for seed in range(20) if getattr(case, size) > least else ():
            try:
                one = replace(case, seed=seed, **{size: getattr(case, size) - 1})
            except ValueError:  # it names a layer, a row or a step that is no more
                break
            if violation_in(target, all_laws()[law], one, strict=strict) is not None:
                return size
    return "no"
