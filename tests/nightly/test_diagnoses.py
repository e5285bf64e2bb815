"""What every fault is: the variants of nn.GRU that are expected, and none for all others."""

from __future__ import annotations

import pytest

from stackgru.diagnosis.search import diagnose
from stackgru.targets.target import load
from tests.nightly.helpers import faults
from tests.subjects.diagnoses import EXPECTED

NAMES = {f"{fault.__module__}:{fault.__qualname__}": names for fault, names in EXPECTED.items()}


@pytest.mark.parametrize(
    "fault", [one for one in faults() if not one.strict], ids=lambda one: one.name
)
def test_a_fault_is_named(fault, record_property):
    found = diagnose(load(fault.spec))
    record_property("variants", list(found.variants))
    assert found.variants == NAMES.get(fault.spec, ()), found.sentence
