"""Hypothesis profiles of this project's own tests, and one torch thread per worker."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

import stackgru.pytest_plugin.check
import stackgru.repro.bug  # noqa: F401 - see all_laws below
from stackgru.diagnosis import search
from stackgru.laws.registry import all_laws

# On CI Hypothesis loads a profile of its own; ours is chosen here, on every machine alike.
settings.register_profile("dev", deadline=None, max_examples=100)
settings.register_profile("ci", settings.get_profile("dev"), database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

torch.set_num_threads(1)
# What is first imported in a run of pytester's in this process would be imported twice.
all_laws()

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _few_cases(request, monkeypatch):
    """Diagnose on few cases, which takes a sixth of the time; nightly uses all of them."""
    if "nightly" not in request.keywords:
        monkeypatch.setattr(search, "CASES", 30)
        monkeypatch.setattr(search, "DIFFERING", 10)


def pytest_collection_modifyitems(items):
    """Run the suite on the bundled cell first."""
    items.sort(key=lambda item: item.path.name != "test_bundled_cell.py")
