"""The page: it says what the report says, loads nothing, and fits a browser of any width."""

from __future__ import annotations

import html
import re
import shutil
import subprocess

import pytest

import stackgru
from stackgru.report.page import NoTemplates, page
from tests.helpers import HANDWRITTEN, invoke

pytest.importorskip("jinja2")

WRONG = f"{HANDWRITTEN}:ResetBeforeTheProduct"
#: What a browser adds to a page once it is laid out.
MEASURE = """
<script>
window.addEventListener("error", error => document.body.dataset.error = error.message);
window.addEventListener("load", () => {
  const root = document.documentElement;
  document.body.dataset.overflow = root.scrollWidth - root.clientWidth;
});
</script>
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of a wrong cell, its report, and what the command line showed."""
    folder = tmp_path_factory.mktemp("page")
    options = ("--laws", "equation", "--laws", "purity", "--seed", 1, "--max-examples", 10)
    files = ("--html", folder / "page.html", "--json", folder / "report.json")
    result = invoke("check", WRONG, *options, *files)
    report = stackgru.Report.from_json((folder / "report.json").read_text())
    return (folder / "page.html").read_text(), report, result


def test_it_says_what_the_report_says(made):
    text, report, result = made
    assert result.exit_code == 1
    shown = html.unescape(text)
    (cause,) = report.causes
    for part in (report.sentence, cause.sentence, cause.violation.case, cause.violation.message):
        assert part in shown
    assert "purity" in shown
    assert "order of masks" in shown


def test_scripts_are_in_it_alone_if_no_folder_was_named(made):
    text, _, result = made
    assert "class ResetBeforeTheProduct" in text or "import torch" in text
    assert "script:" not in result.stdout
    assert "again:   stackgru check" in result.stdout


def test_it_loads_nothing(made):
    text, _, _ = made
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)|@import|url\(""", text)
    assert text.count("<script>") == 1


def test_names_are_escaped(made):
    _, report, _ = made
    from dataclasses import replace

    text = page(replace(report, target="<b>&Stack"))
    assert "<b>&Stack" not in text
    assert "&lt;b&gt;&amp;Stack" in text


def test_without_jinja2_there_is_a_sentence(made, monkeypatch):
    _, report, _ = made
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(NoTemplates, match=r"pip install 'stackgru\[html\]'"):
        page(report)


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium")
@pytest.mark.parametrize("width", [1200, 400])
def test_in_a_browser_nothing_overflows(made, width, tmp_path):
    text, _, _ = made
    (tmp_path / "page.html").write_text(text.replace("<main>", f"{MEASURE}<main>"))
    size = (f"--window-size={width},900", "--headless", "--no-sandbox", "--disable-gpu")
    ran = subprocess.run(
        ["chromium", *size, "--dump-dom", f"file://{tmp_path / 'page.html'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert 'data-overflow="0"' in ran.stdout
    assert "data-error" not in ran.stdout.replace("dataset.error", "")
