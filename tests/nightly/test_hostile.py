"""Every hostile target is survived: all laws have a line, and nothing is left running."""

from __future__ import annotations

import pytest

from stackgru.laws.names import NAMES
from tests.helpers import checked_apart
from tests.subjects.hostile import KINDS, spec

#: Not run again with one worker: what they do meets no other code of ours there, or that of a kind
#: that is run.
ONCE = (
    "ChangesTheFolder",
    "ChangesTheMatmulPrecision",
    "EndsByAnAlarm",
    "EndsInAThread",
    "ExitsHardInTraining",
    "ExitsInTheConstructor",
    "FailsToBeCopied",
    "FlushesDenormals",
    "KillsItsGroup",
    "OffByOneInDisguise",
    "RaisesAtTheTenthCall",
    "RaisesOfItsOwn",
    "Recurses",
    "ReplacesTorchsEqual",
    "SeedsTheGenerators",
    "SkipsAsUnittestDoes",
    "SkipsTheTest",
)
RUNS = [(kind, "2") for kind in KINDS] + [(kind, "1") for kind in KINDS if kind not in ONCE]


@pytest.mark.parametrize(("kind", "workers"), RUNS)
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
        assert len(errors.splitlines()) <= 10  # advice included
        return
    assert [law["name"] for law in data["laws"]] == list(NAMES)
    assert not [law for law in data["laws"] if law["status"] == "not run"]
    assert (status == 0) == data["verdict"]["ok"]
