"""What README and docs show is so: commands are run, code is executed, tables are the program's."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shlex
import subprocess
import sys
from importlib import metadata
from itertools import pairwise

import pytest
import torch
from click.testing import CliRunner

import stackgru
from examples.handwritten import Right
from examples.implementations import IMPLEMENTATIONS
from examples.implementations.table import HEAD, write_page
from stackgru.cases.case import Case
from stackgru.cli.main import cli
from stackgru.engine.known import read_known
from stackgru.laws.registry import all_laws
from stackgru.options import OPTIONS, option_named, read_pairs
from stackgru.report.report import Report
from tests.helpers import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
#: (page, kind, text) of each block of code.
BLOCKS = [
    (page, kind, text.strip())
    for page, content in PAGES.items()
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", content, flags=re.DOTALL | re.MULTILINE)
]
COMMANDS = [(page, text) for page, kind, text in BLOCKS if kind == "sh"]
#: The commands that run a check, with the output that is shown below them.
CHECKS = [
    pytest.param(text, following[2] if following[1] == "text" else "", id=f"{page}-{text}")
    for (page, kind, text), following in pairwise(BLOCKS)
    if kind == "sh" and text.startswith("stackgru ")
]


def has_verified_versions():
    """Whether the installed versions are those with which the shown outputs were made."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        shown = name in ("torch", "hypothesis", "rich", "opacus", "torchrl")
        if shown and metadata.version(name).split("+")[0] != version:
            return False
    return True


def assert_shown(shown, printed):
    """Check that each shown line is printed, in this order; "..." stands for what is left out."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        assert line in ("...", "") or line in lines, line


@pytest.mark.parametrize(("command", "shown"), [one for one in CHECKS if "/" in one.values[0]])
def test_commands_run(command, shown, monkeypatch):
    """A few examples of one law; tests/nightly/test_real.py runs the whole commands."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    law = re.search(r"laws: +([\w-]+)|([\w-]+) is violated", shown)
    name = next(filter(None, law.groups())) if law else "equation"
    result = CliRunner().invoke(cli, [*words, "--laws", name, "--max-examples", "20"])
    assert result.exit_code == bool(law), result.output
    if result.exit_code and has_verified_versions():
        # How many laws see a cause, and how many hold, depends on how many are run.
        assert_shown(re.split(r"\n   laws:", shown)[0], result.stdout)


@pytest.mark.nightly
def test_the_picture_shows_a_real_run():
    pytest.importorskip("opacus")
    if not has_verified_versions():
        pytest.skip("versions other than those of constraints.txt may find other examples")
    committed = (ROOT / "docs" / "check.svg").read_text()
    subprocess.run([sys.executable, "docs/picture.py"], cwd=ROOT, check=True)
    drawn = (ROOT / "docs" / "check.svg").read_text()
    (ROOT / "docs" / "check.svg").write_text(committed)
    assert drawn == committed


def test_the_picture_needs_nothing_from_elsewhere():
    text = (ROOT / "docs" / "check.svg").read_text()
    assert "url(http" not in text
    assert "href" not in text
    assert "opacus.layers:DPGRU" in html.unescape(text)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        assert ((ROOT / page).parent / link).is_file(), link


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_page_starts_with_one_line_on_its_purpose(page):
    title, empty, purpose, end, *_ = PAGES[page].splitlines()
    assert title.startswith("# ")
    assert (empty, end) == ("", "")
    assert 0 < len(purpose) <= 120
    assert purpose.endswith((".", "?"))


def test_the_readme_is_short_and_lists_every_page():
    assert len(README.encode()) <= 9000
    listed = re.findall(r"^- \[[\w ]+\]\((docs/[\w-]+\.md)\): ", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(page for page in PAGES if page != "README.md")


def test_the_two_commands_are_what_ci_runs():
    setup = [command for _, command in COMMANDS if "venv" in command]
    assert [command.split(" && ")[-1].split("/")[-1] for command in setup] == [
        "stackgru check",
        "pytest -n auto",
    ]
    assert all(command.startswith("python3 -m venv ") for command in setup)
    assert len(re.findall("^python3 -m venv ", README, flags=re.MULTILINE)) == 2
    assert "grep '^python3 -m venv ' README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_command_is_run_somewhere():
    others = [text for _, text in COMMANDS if not text.startswith(("stackgru ", "python3 -m venv"))]
    assert others == []


def test_tox_environments_exist():
    factors = (ROOT / "tox.ini").read_text()
    shown = {name for text in PAGES.values() for name in re.findall(r"tox run -e ([\w-]+)", text)}
    assert shown
    for environment in shown:
        torch_factor = environment.rpartition("-")[2]
        assert f"    {torch_factor}: torch==" in factors or f"testenv:{environment}" in factors


def test_the_broken_cell_is_the_example_file():
    example = (ROOT / "examples" / "handwritten.py").read_text()
    (code,) = [text for _, kind, text in BLOCKS if kind == "python" and text.startswith("class ")]
    assert code in example


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(text, id=page)
        for page, kind, text in BLOCKS
        if kind == "python" and text.startswith("import torch\n")
    ],
)
def test_code_runs(code):
    names = {}
    exec(code, names)  # the project's own text
    stack, gru = names["cell" if "cell" in names else "cells"], names["gru"]
    state = stackgru.convert_state_dict(gru.state_dict(), to="cell")
    assert all(torch.equal(state[name], value) for name, value in stack.state_dict().items())


def test_architecture_describes_the_rooms_and_a_real_law():
    page = PAGES["docs/architecture.md"]
    rooms = re.findall(r"^\| `(\w+)/` \|", page, flags=re.MULTILINE)
    package = ROOT / "stackgru"
    assert sorted(rooms) == sorted(path.parent.name for path in package.glob("*/__init__.py"))
    (code,) = [text for _, _, text in BLOCKS if text.startswith("@law(")]
    assert code in (package / "laws" / "values.py").read_text()


def test_a_test_file_and_a_call_in_python_are_as_shown(pytester):
    (suite,) = [text for _, kind, text in BLOCKS if "from my_model" in text and kind == "python"]
    (call,) = [text for _, kind, text in BLOCKS if text.startswith("report = stackgru.check(")]
    example = (ROOT / "examples" / "handwritten.py").read_text().partition("\n\nclass Dropout")[0]
    pytester.makepyfile(my_model=example.replace("class Right", "class MyStack"))
    pytester.makepyfile(test_my_model=suite)
    options = ["-k", "equation or rows", "--stackgru", "max-examples=2", "-p", "no:cacheprovider"]
    pytester.syspathinsert()
    others = len(all_laws()) - 1  # all but the two, and the facts of the build
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=2, deselected=others)
    few = call.replace("max_examples=50", "max_examples=2, laws=['equation']")
    exec(few, {"stackgru": stackgru, "MyStack": Right})


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:The tensor attribute:UserWarning")
def test_what_needs_cells():
    """nn.GRU has no rule for vmap, and is exported for one number of steps only."""
    if not has_verified_versions():
        pytest.skip("this was seen with the versions of constraints.txt")
    gru = torch.nn.GRU(2, 3)
    x, h0 = torch.randn(5, 4, 2), torch.zeros(1, 4, 3)
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        torch.func.vmap(gru)(x[None], h0[None])
    steps = torch.export.Dim("steps")
    with pytest.raises(torch._dynamo.exc.UserError, match="specialized it to be a constant"):
        torch.export.export(gru, (x, h0), dynamic_shapes=({0: steps}, None))


def test_the_number_of_laws_and_implementations():
    assert f"the {len(all_laws())} laws" in README
    assert f"All {len(IMPLEMENTATIONS)}: " in README
    assert f"{len(IMPLEMENTATIONS)} GRUs of other packages" in README


def test_the_page_of_laws_is_generated():
    result = CliRunner().invoke(cli, ["laws", "--markdown"])
    assert result.exit_code == 0
    assert PAGES["docs/laws.md"] == result.output


def test_the_fields_of_a_case_are_all_there():
    shown = re.findall(r"^\| (`.*?`) \|.*\|$", PAGES["docs/violations.md"], flags=re.MULTILINE)
    names = [name for cell in shown for name in re.findall(r"`(\w+)`", cell)]
    wanted = [one.name for one in dataclasses.fields(Case) if one.name != "numbers"]
    assert [name for name in names if name in wanted] == wanted


def test_options_are_those_of_the_program():
    page = PAGES["docs/options.md"]
    for option in (option for option in OPTIONS if option.group):
        assert f"| `{f'--{option.name} {option.metavar}'.strip()}` | {option.help} |" in page
    shown = set(re.findall(r"^\| `(--?[a-z-]+)", page, flags=re.MULTILINE))
    text = CliRunner().invoke(cli, ["check", "--help"]).output
    offered = set(re.findall(r"^ +(--?[a-z-]+)", text, flags=re.MULTILINE)) - {"-h"}
    assert shown == offered


def test_options_of_pytest_are_read():
    (command,) = [text for _, _, text in BLOCKS if text.startswith("$ pytest ")]
    pairs = [word for word in shlex.split(command) if "=" in word]
    assert read_pairs(pairs, "--stackgru") == {"max_examples": 20, "skip": ("transforms",)}
    (ini,) = [text for _, kind, text in BLOCKS if kind == "ini"]
    for key in re.findall(r"^stackgru_(\w+) = ", ini, flags=re.MULTILINE):
        assert option_named(key).field == key


def test_exit_statuses_are_those_of_the_help():
    text = " ".join(CliRunner().invoke(cli, ["check", "--help"]).output.split())
    for status, meaning in re.findall(r"^\| (\d) \| (.*) \|$", PAGES["docs/violations.md"], re.M):
        assert f"{status} {meaning}" in text


def test_the_keys_of_the_report_are_those_listed():
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    assert list(schema["properties"]) == list(Report("a", "cell", "2").to_dict())


def test_the_file_of_known_violations_is_read(tmp_path):
    (text,) = [text for _, _, text in BLOCKS if text.startswith("# known.txt")]
    (tmp_path / "known.txt").write_text(text)
    assert [law for law, _ in read_known(tmp_path / "known.txt")] == ["one-step", "layouts"]


def test_the_table_of_implementations_has_a_row_for_each(tmp_path):
    page = PAGES["docs/implementations.md"]
    rows = page.partition(f"{HEAD}\n")[2].splitlines()
    assert [row.split("`")[1] for row in rows] == [one.name for one in IMPLEMENTATIONS]
    assert [row.split(" | ")[1] for row in rows] == [one.says for one in IMPLEMENTATIONS]
    summary = page.partition("## The table\n\n")[2].partition("\n")[0]
    again = tmp_path / "page.md"
    again.write_text(page.replace(rows[0], "old"))
    write_page(again, summary, rows, [])
    assert again.read_text() == page
    missing = f"- `{rows[0].split('`')[1]}`: it is not installed"
    write_page(again, summary, rows[1:3], [missing])
    assert again.read_text() == page, "the rows of others stay"
