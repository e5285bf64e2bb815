"""Every hostile target is survived: all laws have a line, and nothing is left running."""

from __future__ import annotations

import pytest

from stackgru.laws.names import NAMES
from tests.helpers import checked_apart
from tests.subjects.hostile import KINDS, spec


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_survived(kind, workers, tmp_path, record_property):
    target = spec(kind)
    status, data, seconds, errors = checked_apart(target, tmp_path, "-n", workers)
    record_property("kind", kind)
    record_property("workers", workers)
    record_property("status", status)
    record_property("run_seconds", round(seconds, 1))
    assert status in KINDS[kind], errors
    if status == 2:
        assert errors.startswith("Error: ")
        assert len(errors.splitlines()) == 1
        return
    assert [law["name"] for law in data["laws"]] == list(NAMES)
    assert all(law["status"] != "not run" for law in data["laws"])
    assert (status == 0) == data["verdict"]["ok"]
