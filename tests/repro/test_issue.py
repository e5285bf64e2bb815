"""The text of an issue."""

from __future__ import annotations

import pytest

from stackgru.outcomes import Violation
from stackgru.repro import issue
from stackgru.repro.issue import environment
from stackgru.repro.store import BugReport


def test_what_collect_env_leaves_out(monkeypatch):
    lines = "\n".join(issue.left_out("seed=5 batch=1"))
    for word in ("threads:", "CPU capability:", "TF32:", "cuDNN:", "seed=5"):
        assert word in lines
    from torch.utils import collect_env

    def fails():
        raise OSError("no lspci")

    monkeypatch.setattr(collect_env, "get_pretty_env_info", fails)
    environment.cache_clear()
    assert environment().endswith("(collect_env raised OSError: no lspci)")
    environment.cache_clear()


@pytest.mark.nightly
def test_the_machine_is_described_by_torch():
    assert "\nPython version: " in environment()


def test_a_long_title_is_cut():
    report = BugReport("m:T", "cell", "S.", Violation("rows", "seed=1", "many words " * 20))
    text = issue.issue_text(report, "script", "out", None, about_torch=False)
    assert len(text.splitlines()[0]) < 120
    assert "no float64 reference can show" in text
