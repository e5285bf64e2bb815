"""The kill matrix: every fault is caught by some law, with every seed."""

from __future__ import annotations

from collections import defaultdict

import pytest

from stackgru.targets.target import load
from tests.nightly.helpers import SETTINGS, caught_before, chosen_laws, faults, run_law
from tests.subjects import plain_test, seed_example

SEEDS = range(1, SETTINGS.seeds + 1)

#: Which laws caught a fault before, so that other seeds begin with them.
_caught_by = defaultdict(list, caught_before())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", faults(), ids=lambda one: one.name)
def test_a_fault_is_caught(fault, seed, record_property):
    """A law that crashes or times out does not count."""
    target = load(fault.spec)
    record_property("fault", fault.name)
    record_property("group", "strict" if fault.strict else target.kind)
    if seed == SEEDS[0]:
        record_property("seed_example", not _accepted(seed_example, target))
        record_property("plain_test", not _accepted(plain_test, target))
    first = [*_caught_by[fault.name], *fault.explained_by, *fault.near]
    laws = sorted(chosen_laws(), key=lambda law: first.index(law) if law in first else len(first))
    caught_by, statuses = [], {}
    for law in laws:
        result = run_law(target, law, seed, strict=fault.strict, shrink=False)
        statuses[law] = result["status"]
        if result["status"] in ("crashed", "timed out"):
            statuses[law] += f": {result['message']}"
        elif result["status"] == "violated":
            caught_by.append(law)
            if len(caught_by) == 1:
                record_property("examples", result["examples"])
            _caught_by[fault.name].append(law)
            if not SETTINGS.every_law:
                break
    record_property("caught_by", caught_by)
    unfinished = {law: status for law, status in statuses.items() if ":" in status}
    record_property("unfinished", unfinished)
    assert caught_by, f"MISSED {fault.spec} with seed {seed}: {unfinished or 'all laws hold'}"


def _accepted(method, target):
    """Whether what a user would write instead takes the target for nn.GRU."""
    try:
        return method.accepts(target.factory, sequence=target.kind == "sequence")
    except Exception:  # it would fail for the user as well
        return False
