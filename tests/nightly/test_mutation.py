"""Mutation testing of six modules, each in a copy of the tree; mutation.md lists the survivors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

CONFIG = (ROOT / "cosmic-ray.toml").read_text()
MODULES = re.findall(r'^    "(stackgru/\S+\.py)",$', CONFIG, flags=re.MULTILINE)
#: Most mutants first, so that two processes end at about the same time.
MODULES.sort(key=lambda module: -len((ROOT / module).read_text()))
TABLE = (ROOT / "tests" / "nightly" / "mutation.md").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_no_more_mutants_survive(module, tmp_path, record_property):
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    only = re.sub(r"module-path = \[.*?\]", f'module-path = ["{module}"]', CONFIG, flags=re.DOTALL)
    (tree / "cosmic-ray.toml").write_text(only)
    folder = Path(sys.executable).parent

    def run(tool, *words):
        process = subprocess.run(
            [folder / tool, *words],
            cwd=tree,
            env={**os.environ, "CI": "1", "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    run("cosmic-ray", "baseline", "cosmic-ray.toml")
    run("cosmic-ray", "init", "--force", "cosmic-ray.toml", "session.sqlite")
    run("cr-filter-operators", "session.sqlite", "cosmic-ray.toml")
    run("cosmic-ray", "exec", "cosmic-ray.toml", "session.sqlite")
    dumped = map(json.loads, run("cosmic-ray", "dump", "session.sqlite").splitlines())
    outcomes = [found["test_outcome"] for _, found in dumped if found["worker_outcome"] == "normal"]
    known = len(re.findall(rf"^\| {Path(module).stem} `", TABLE, flags=re.MULTILINE))
    survived = outcomes.count("survived")
    record_property("module", module)
    record_property("mutants", len(outcomes))
    record_property("survived", survived)
    record_property("known", known)
    report = run("cr-report", "--surviving-only", "--show-diff", "session.sqlite")
    record_property("survivors", report)
    assert survived <= known, report
