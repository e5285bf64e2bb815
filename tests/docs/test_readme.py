"""The README says what is so: its commands are run, its tables are those of the program."""

from __future__ import annotations

import re
import shlex
from importlib import metadata

import pytest
import torch

from stackgru.laws.registry import all_laws
from tests.helpers import ROOT, stackgru

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [text.strip() for kind, text in BLOCKS if kind == "sh"]
#: What needs nothing that the README only names.
RUNNABLE = [text for kind, text in BLOCKS if kind == "python" and text.startswith("import torch\n")]
CHECKS = [command for command in COMMANDS if command.startswith("stackgru ")]


def verified_versions():
    """Whether what is installed is what the README's outputs were made with."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        shown = name in ("torch", "hypothesis", "rich")
        if shown and metadata.version(name).split("+")[0] != version:
            return False
    return True


@pytest.mark.parametrize("command", CHECKS)
def test_commands_print_what_is_shown(command):
    target = shlex.split(command)[2]
    package = target.partition(".")[0]
    if "/" not in target:
        pytest.importorskip(package, reason=f"{package} is not installed")
    following = BLOCKS[BLOCKS.index(("sh", command + "\n")) + 1 :][:1]
    shown = following[0][1].splitlines() if following and following[0][0] == "text" else []
    budget = () if shown else ("--laws", "equation")  # only that it runs is said
    process = stackgru(*shlex.split(command)[1:], *budget, cwd=ROOT)
    assert process.returncode in (0, 1), process.stderr
    if shown and not verified_versions():
        pytest.skip("other versions than constraints.txt's may find other examples")
    printed = iter(process.stdout.splitlines())
    for line in shown:
        assert line in ("...", "") or line in printed, line


def test_what_is_shown_in_python_runs():
    (text,) = RUNNABLE
    made = {}
    exec(text, made)  # the project's own text
    again, cell = made["again"].state_dict(), made["cell"].state_dict()
    assert all(torch.equal(again[name], value) for name, value in cell.items())


def test_the_two_commands_are_what_ci_runs():
    setup = [command for command in COMMANDS if "venv" in command]
    assert [command.split(" && ")[-1].split("/")[-1] for command in setup] == [
        "stackgru check",
        "pytest -n auto",
    ]
    assert COMMANDS[:2] == setup
    script = (ROOT / ".ci" / "run").read_text()
    assert "grep '^python3 -m venv ' README.md" in script
    assert all(command.startswith("python3 -m venv ") for command in setup)


def test_tox_environments_are_there():
    factors = (ROOT / "tox.ini").read_text()
    shown = [command.split()[-1] for command in COMMANDS if command.startswith("tox ")]
    assert shown
    for environment in shown:
        assert f"    {environment.split('-')[1]}: torch==" in factors


def test_every_command_is_checked_somewhere():
    others = [text for text in COMMANDS if not text.startswith(("stackgru ", "tox ", "python3 -m"))]
    assert others == []


def test_options_are_those_of_the_program(tmp_path):
    section = README.partition("## Options")[2].partition("## ")[0]
    shown = set(re.findall(r"(?<=`)--?[a-z-]+", section)) - {"-x"}
    text = stackgru("check", "--help", cwd=tmp_path).stdout
    offered = set(re.findall(r"^ +(--?[a-z-]+)", text, flags=re.MULTILINE)) - {"-h"}
    assert shown == offered


def test_laws_are_those_of_the_registry():
    for law in all_laws().values():
        assert f"| `{law.name}` | {law.family} | {law.statement} |" in README
    families = {law.family for law in all_laws().values()}
    assert sum(README.count(f"| {family} |") for family in families) == len(all_laws())
