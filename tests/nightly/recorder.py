"""The pytest plugin that records every result as it comes, and leaves out what is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.nightly.helpers import SETTINGS, recorded

_DONE = pytest.StashKey[list]()


def pytest_configure(config):
    # A worker that replaces one that died must collect what the first ones did.
    own = [line["id"] for line in recorded() if line["key"] == SETTINGS.key]
    config.stash[_DONE] = getattr(config, "workerinput", {}).get("done", own)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(SETTINGS.results)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["done"] = node.config.stash[_DONE]


def pytest_collection_modifyitems(config, items):
    done = set(config.stash[_DONE])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = [item for item in items if item.nodeid not in done]


class Recorder:
    """Appends each result to a file of JSON lines."""

    def __init__(self, path):
        self._path = path

    def pytest_runtest_logreport(self, report):
        if report.when in ("setup", "teardown") and report.passed:
            return
        message = ""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else str(report.longrepr)
        elif report.skipped:
            message = report.longrepr[2]
        line = {
            "key": SETTINGS.key,
            "id": report.nodeid,
            # xdist reports a worker that died as a failure of no phase.
            "outcome": "crashed" if report.when == "???" else report.outcome,
            "seconds": round(report.duration, 2),
            "message": message[:2000],
            **dict(report.user_properties),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
