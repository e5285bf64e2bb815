"""Checks on a CUDA device, where there is one; nothing else of the tests needs it."""

import pytest
import torch

from stackgru import check
from tests.subjects.broken.packed import GradientsLeftSorted
from tests.subjects.right.cells import OwnDropout

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize(
    ("target", "strict"), [("stackgru:StackingGRUCell", False), ("torch.nn:GRU", True)]
)
def test_all_laws_that_apply_hold(target, strict):
    report = check(target, device="cuda", strict=strict, max_examples=20, seed=1)
    statuses = {result.name: result.status for result in report.laws}
    assert report.ok, (statuses, report.violations)
    assert {*statuses.values()} <= {"holds", "not applicable"}
    assert statuses["autocast"] == statuses["one-step"] == "holds"


def test_a_fault_is_caught():
    report = check(GradientsLeftSorted, device="cuda", laws=["gradients"], seed=1)
    assert [violation.law for violation in report.violations] == ["gradients"]


def test_dropout_that_draws_by_itself_has_other_masks_there():
    """torch's own dropout on CUDA draws in one kernel, and not by bernoulli_."""
    report = check(OwnDropout, device="cuda", laws=["one-step", "equation"], seed=1)
    assert {result.name: result.status for result in report.laws} == {
        "one-step": "violated",
        "equation": "holds",
    }
