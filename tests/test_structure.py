"""The rooms of the design: imports run downward only, and heavy ones late."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import stackgru

PACKAGE = Path(stackgru.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: From the bottom to the top; what stands on one line may not import each other.
ROOMS = [
    {"weights", "refusing", "options", "loading", "evidence", "formats"},
    {"torch_settings", "time_limit", "unrolling", "writing", "converting"},
    {"cell", "cases", "report", "saved", "checkpoints"},
    {
        "strategies",
        "swapping",
        "verifying",
        "finding",
        "masks",
        "conventions",
        "numbers",
        "replaying",
    },
    {"arrangement", "constructing"},
    {"locating"},
    {"probing"},
    {"fitting"},
    {"targets"},
    {"pairs", "rounding"},
    {"arithmetic"},
    {"steps", "designs"},
    {"derivatives", "mask_plans", "variants"},
    {"laws", "build_facts", "diagnosis"},
    {"domains", "database", "parting", "known", "simplifying"},
    {"running"},
    {"suite", "reporting"},
    {"plugin", "report_commands", "convert_command"},
    {"checking"},
    {"__main__", "__init__"},
]
LEVEL = {name: level for level, room in enumerate(ROOMS) for name in room}


def room(path):
    """Return the room that a file belongs to: its module, or its subpackage."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Return the modules a file imports, and whether each is imported as it is loaded."""
    tree = ast.parse(path.read_text())
    late = {
        node
        for parent in ast.walk(tree)
        if isinstance(parent, (ast.FunctionDef, ast.If))
        for node in ast.walk(parent)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "stackgru":
            yield from ((f"stackgru.{alias.name}", node not in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node not in late
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node not in late) for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path):
    for name, at_once in imports(path):
        parts = name.split(".")
        if parts[0] == "stackgru" and at_once and parts[1] in LEVEL and parts[1] != room(path):
            assert LEVEL[parts[1]] < LEVEL[room(path)], f"{path.name} imports {name}"


def test_every_module_has_a_room():
    assert {room(path) for path in MODULES} == set(LEVEL)


@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "__main__",
        "plugin",
        "options",
        "report",
        "report_commands",
        "saved",
        "replaying",
    ],
)
def test_heavy_imports_are_late(name):
    for module, at_once in imports(PACKAGE / f"{name}.py"):
        assert not (at_once and module.split(".")[0] in ("torch", "hypothesis"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 300
