"""Scripts of violations that end the process."""

from __future__ import annotations

import pytest

from stackgru.laws.registry import all_laws
from stackgru.outcomes import Violation
from stackgru.repro.bug import bug_for
from stackgru.repro.replay import run_script
from stackgru.targets.target import load

CASE = "input_size=1 hidden_size=1 num_layers=1 batch={} seq_len=1 dropout=0.0 mode={} seed=0"


def bug(kind, law, batch, message, mode="train"):
    violation = Violation(law, CASE.format(batch, mode), message)
    return bug_for(load(f"tests.subjects.hostile:{kind}"), all_laws()[law], violation)


def test_a_script_that_dies_shows_the_violation():
    found = bug("AbortsOnAnEmptyBatch", "empty-batch", 0, "the process died (SIGABRT)")
    assert found.report.violation.problem is None
    assert found.printed.endswith("The process died (SIGABRT).\n")
    assert "is not nn.GRU: the process died (SIGABRT)." in found.script


@pytest.mark.nightly
def test_a_script_that_ends_without_a_word_shows_the_violation():
    found = bug("ExitsHardInTraining", "gradients", 1, "the process ended with status 0", "eval")
    assert found.report.violation.problem is None
    assert "target.train()" in found.script, "a law may train a target whatever the case's mode"
    assert found.printed == "The process ended with status 0.\n"


def test_what_raises_no_exception_is_caught_in_the_script():
    message = "the target raised KeyboardInterrupt, which is no Exception; nn.GRU gives a result"
    found = bug("RaisesKeyboardInterrupt", "equation", 7, message)
    assert found.report.violation.problem is None
    assert "observed: KeyboardInterrupt: \n" in found.printed


@pytest.mark.nightly
def test_a_script_that_lives_does_not_show_it():
    found = bug("AbortsOnAnEmptyBatch", "equation", 1, "the process died (SIGSEGV)")
    assert found.report.violation.problem == "in a clean process the two agree"


@pytest.mark.parametrize(
    ("text", "may_end", "status"),
    [
        ("import os; os.abort()", False, 1),
        ("import os; os._exit(3)", True, 1),
        ("import os; os._exit(3)", False, None),
        ("x", True, None),
    ],
)
def test_what_counts_as_an_end(text, may_end, status, tmp_path):
    (tmp_path / "script.py").write_text(text)
    assert run_script(tmp_path / "script.py", may_end=may_end).status == status
