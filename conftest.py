"""Hypothesis profiles of this project's own tests, and one torch thread per worker."""

from __future__ import annotations

import functools
import gc
import json
import os
from pathlib import Path

import pytest

from tests import FULL

pytest_plugins = ["pytester"]


def pytest_configure(config):
    """Prepare what runs tests; the process that only hands them to workers needs no torch."""
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        return
    import torch
    from hypothesis import settings

    import stackgru.pytest_plugin.check
    import stackgru.repro.bug  # noqa: F401 - see all_laws below
    from stackgru.laws.registry import all_laws

    # On CI Hypothesis loads a profile of its own; ours is chosen here, on every machine alike.
    settings.register_profile("dev", deadline=None, max_examples=100)
    settings.register_profile("ci", settings.get_profile("dev"), database=None, print_blob=True)
    settings.load_profile("ci" if os.environ.get("CI") else "dev")
    torch.set_num_threads(1)
    # What is first imported in a run of pytester's in this process would be imported twice.
    all_laws()


@pytest.fixture(scope="session", autouse=True)
def _less_work():
    """Check in this process, diagnose on few cases, describe no machine; nightly does all of it."""
    if FULL:
        yield None
        return
    from stackgru.diagnosis import search
    from stackgru.pytest_plugin import check
    from stackgru.repro import issue

    with pytest.MonkeyPatch.context() as patch:
        importable_name = check._importable_name
        # A check in processes of its own costs five seconds before its first example.
        patch.setattr(check, "_importable_name", lambda target: None)
        patch.setattr(search, "CASES", 20)
        patch.setattr(search, "DIFFERING", 6)
        # Torch's own description runs a dozen programs.
        patch.setattr(issue, "environment", lambda: "PyTorch version: (not asked here)")
        yield importable_name


@pytest.fixture(autouse=True)
def _apart(request, monkeypatch, _less_work):
    """Check in processes of their own where a test is of these."""
    if _less_work is not None and "apart" in request.keywords:
        from stackgru.pytest_plugin import check

        monkeypatch.setattr(check, "_importable_name", _less_work)


@pytest.fixture
def no_symptoms(monkeypatch):
    """Look for no symptom of what is violated, where tests are of something else."""
    from stackgru.engine import run

    monkeypatch.setattr(run, "symptom_of", lambda target, violation, variants: violation.law)


@pytest.fixture(autouse=True)
def _valid_reports(monkeypatch):
    """Hold every report that a test makes as JSON against the schema in docs."""
    from stackgru.report.report import Report

    made = Report.to_json

    def to_json(report):
        text = made(report)
        if _schema() is not None:
            _schema().validate(json.loads(text))
        return text

    monkeypatch.setattr(Report, "to_json", to_json)


@functools.lru_cache(maxsize=1)
def _schema():
    """Return what validates a report; None without jsonschema, as in the sweep of old torches."""
    try:
        import jsonschema
    except ImportError:
        return None
    text = (Path(__file__).parent / "docs" / "report.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def pytest_collection_modifyitems(items):
    """Run the suite on the bundled cell first."""
    items.sort(key=lambda item: item.path.name != "test_bundled_cell.py")


def pytest_collection_finish():
    """Leave what is there by now out of garbage collection: each check() collects it ten times."""
    gc.freeze()
