"""Laws of one's own: found in a conftest.py or a test file, shrunk and reported as others are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import stackgru
from stackgru import UsageError
from stackgru.laws.names import NAMES
from stackgru.laws.registry import _laws
from tests.helpers import ROOT

LAW = """
import torch
from stackgru import cases, law

@law(cases(mode="eval", min_batch=1, choices=("form", "row")))
def odd_in_its_input(target, x, h0, row):
    \"\"\"Without a state, the output for the negated input is the negated output.\"\"\"
    zeros = torch.zeros_like(h0)
    observed, _ = target(-x, zeros)
    expected, _ = target(x, zeros)
    return observed[:, row], -expected[:, row]
"""
SUITE = """
import stackgru
test_it = stackgru.suite_for(stackgru.StackingGRUCell, laws=["odd*", "causal"], max_examples=20)
"""


@pytest.fixture(autouse=True)
def without_these_laws():
    """Forget the laws that a test registers in this process."""
    before = dict(_laws), dict(NAMES)
    yield
    for registry, kept in zip((_laws, NAMES), before, strict=True):
        registry.clear()
        registry.update(kept)


@pytest.fixture
def users_folder(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester


@pytest.mark.parametrize("where", ["conftest", pytest.param("test_gru", marks=pytest.mark.nightly)])
def test_a_law_of_ones_own_is_shrunk_and_reported(users_folder, where):
    files = {"conftest": "", "test_gru": SUITE}
    files[where] = LAW + files[where]
    users_folder.makepyfile(**files)
    given = ("--stackgru=json=found.json", "--stackgru=report=.stackgru")
    result = users_folder.runpytest_inprocess(*given, "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, skipped=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "odd-in-its-input is violated: result: got *, expected *",
            "*case: *input_size=1 hidden_size=1 num_layers=1 batch=1 seq_len=1 *mode=eval seed=0*",
            "  script: *repro.py",
            "  again: *pytest *test_gru.py::test_it?odd-in-its-input?*",
        ]
    )
    report = json.loads((users_folder.path / "found.json").read_text())
    found = {one["name"]: one for one in report["laws"]}["odd-in-its-input"]
    assert (found["family"], found["status"]) == ("own", "violated")
    (script,) = users_folder.path.glob(".stackgru/*/repro.py")
    text = script.read_text()
    assert "def odd_in_its_input(target, x, h0, row):" in text
    assert "stackgru import" not in text
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.parametrize("mistake", ["zeros.shap", "zero", "zeros.shape[3]", "len(None)"])
def test_a_mistake_in_a_law_is_no_reason_to_skip_it(users_folder, mistake):
    law = LAW.replace("target(x, zeros)", f"target(x, {mistake})")
    users_folder.makepyfile(conftest=law, test_gru=SUITE)
    result = users_folder.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, skipped=1, passed=1)
    result.stdout.re_match_lines([".*odd-in-its-input +crashed .*Error.*"])


def test_a_law_of_another_test_file_is_not_tried(users_folder):
    users_folder.makepyfile(test_a=LAW, test_b=SUITE)
    result = users_folder.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(skipped=1, passed=1)


def test_one_law_has_one_name():
    with pytest.raises(ValueError, match="two laws are called 'rows'"):

        @stackgru.law(stackgru.cases())
        def rows(target):
            """Nothing."""


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"mood": "eval"}, "the cases of a law have no 'mood'; did you mean 'mode'?"),
        ({"choices": ("rwo",)}, "the cases of a law have no 'rwo'; did you mean 'row'?"),
    ],
)
def test_limits_that_there_are_not(limits, message):
    with pytest.raises(UsageError, match=message.replace("?", "[?]")):
        stackgru.cases(**limits)
