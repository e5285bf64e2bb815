"""Checks on a CUDA device, where there is one; nothing else of the tests needs it."""

import subprocess
import sys

import pytest
import torch

from stackgru import check
from tests.subjects.broken.packed import GradientsLeftSorted
from tests.subjects.right.cells import OwnDropout, PerGate

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize(
    ("target", "strict"), [("stackgru:StackingGRUCell", False), ("torch.nn:GRU", True)]
)
def test_all_laws_that_apply_hold(target, strict):
    report = check(target, device="cuda", strict=strict, max_examples=20, seed=1)
    statuses = {result.name: result.status for result in report.results}
    assert report.ok, (statuses, report.violations)
    assert {*statuses.values()} <= {"holds", "not applicable"}
    assert statuses["autocast"] == statuses["one-step"] == "holds"


def test_a_fault_is_caught_and_gets_a_script(tmp_path):
    report = check(
        GradientsLeftSorted, device="cuda", laws=["gradients"], seed=1, report=str(tmp_path)
    )
    assert [violation.law for violation in report.violations] == ["gradients"]
    script = report.violations[0].script
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr


def test_a_result_that_is_not_cast_is_noted():
    """Under autocast nn.GRU gives bfloat16 there, and what is written by hand float32."""
    report = check(PerGate, device="cuda", laws=["autocast"], seed=1)
    assert [result.status for result in report.results] == ["refused"]


def test_dropout_that_draws_by_itself_has_other_masks_there():
    """torch's own dropout on CUDA draws in one kernel, and not by bernoulli_."""
    report = check(OwnDropout, device="cuda", laws=["one-step", "equation"], seed=1)
    assert {result.name: result.status for result in report.results} == {
        "one-step": "violated",
        "equation": "holds",
    }
