"""A law's time begins when torch has loaded what the law needs: a limit may not end an import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stackgru.laws.names import NAMES

#: Each law is tried in a fork of a process that has not loaded what torch loads late.
_EACH = """
import os, sys
import torch
from stackgru.engine.collect import collect_runs
from stackgru.options import Options

late = {"sympy", "torch._dynamo", "torch._functorch.vmap", "torch.export._trace", "torch.func"}
torch.set_num_threads(1)
for run in collect_runs("stackgru:StackingGRUCell", Options(max_examples=10, seed=1)):
    if run.law is None or os.fork():
        if run.law is not None:
            os.wait()
        continue
    run.law.prepare()
    before = set(sys.modules)
    run.attempt()
    print(run.law.name, run.result.status, *sorted(late & set(sys.modules) - before), flush=True)
    os._exit(0)
"""


@pytest.mark.nightly
def test_no_law_loads_late_within_its_time(tmp_path):
    lines = subprocess.run(
        [sys.executable, "-c", _EACH], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {line.split()[0] for line in lines} == set(NAMES)
    assert [
        line for line in lines if line.split()[1:] not in (["holds"], ["not", "applicable"])
    ] == []
