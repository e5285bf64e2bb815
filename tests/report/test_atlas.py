"""The atlas: reports of several builds beside each other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stackgru.report.atlas import atlas, by_cell, markdown, text
from stackgru.report.files import write_text
from stackgru.report.law_result import LawResult
from stackgru.report.report import BrokenReport, Report
from tests.report.test_report import law_result

HOLDS = law_result("equation")
NOT_THERE = LawResult(
    "export", "transforms", "training", "not applicable", reason="no torch.export"
)
REFUSES = LawResult("layouts", "layouts", "training", "refused", reason="packed rows")


def build(version, *results, **facts):
    return Report("my:Stack", "cell", version, {"python": "3.11.7", **facts}, results)


OLD = build("1.13.1", HOLDS, NOT_THERE, REFUSES, split_draw_is_one_draw=False)
MIDDLE = build("2.0.1", HOLDS, NOT_THERE, law_result("layouts"), split_draw_is_one_draw=False)
NEW = build(
    "2.13.0",
    law_result("equation", case="num_layers=2"),
    law_result("export"),
    law_result("layouts"),
    split_draw_is_one_draw=True,
)


@pytest.fixture
def files(tmp_path):
    def written(*reports):
        paths = [tmp_path / f"{number}.json" for number, _ in enumerate(reports)]
        for path, report in zip(paths, reports, strict=True):
            write_text(path, report.to_json())
        return paths

    return written


def test_what_differs_is_shown_with_its_builds_and_its_reason(files):
    shown = text(atlas(files(OLD, MIDDLE, NEW)), 80)
    assert shown.startswith("3 builds of torch: 1.13.1 to 2.13.0\n")
    assert "\n  equation\n  1.13.1, 2.0.1: holds\n  2.13.0: differs: 1 is 2\n" in shown
    assert "  1.13.1, 2.0.1: not applicable: no torch.export\n  2.13.0: holds\n" in shown
    assert "  1.13.1: not supported: packed rows\n  2.0.1, 2.13.0: holds\n" in shown
    assert "  1.13.1, 2.0.1: no\n  2.13.0: yes\n" in shown
    assert "Of 3 laws: differs between builds (3)." in shown


def test_what_is_the_same_is_counted(files):
    shown = text(atlas(files(OLD, replace(OLD, torch_version="1.13.2"))), 300)
    assert "2 builds of torch: 1.13.1 and 1.13.2" in shown
    assert (
        "Of 3 laws: holds on every build (1); not applicable on every build: export (1); not "
        "supported on every build: layouts (1); differs between builds (0)."
    ) in shown


def test_markdown_is_a_table_with_notes(files):
    lines = markdown(atlas(files(OLD, MIDDLE, NEW))).splitlines()
    assert "| law | 1.13.1 | 2.0.1 | 2.13.0 |" in lines
    assert "| export | n/a [2] | n/a [2] | holds |" in lines
    assert "2. no torch.export" in lines
    assert "| split draw is one draw | no | no | yes |" in lines


def test_of_two_builds_the_table_has_what_differs(files):
    paths = files(OLD, MIDDLE, NEW)
    assert "| split draw is one draw | no | no |" not in markdown(atlas(paths[:2]))
    assert "| layouts | no [1] | holds |" in markdown(atlas(paths[:2]))
    assert "| python | 3.11.7 | 3.11.7 | 3.11.7 |" in markdown(atlas(paths))


def test_builds_of_one_version_are_told_apart(files):
    other = build("2.13.0", HOLDS)
    other = replace(other, build_facts={"python": "3.12.1"})
    assert atlas(files(NEW, OLD, other)).builds == ("2.13.0 (3.11.7)", "1.13.1", "2.13.0 (3.12.1)")


def test_several_targets_of_one_file_have_a_sheet_each(tmp_path):
    other = replace(OLD, target="torch.nn:GRU")
    path = tmp_path / "both.json"
    reports = [OLD.to_dict(), other.to_dict()]
    path.write_text(json.dumps({"environment": {"gigabytes": 3.1}, "reports": reports}))
    found = atlas([path])
    assert [sheet.target for sheet in found.sheets] == ["my:Stack", "torch.nn:GRU"]
    assert found.to_dict()["environments"] == ({"gigabytes": 3.1},)
    assert markdown(found).startswith("| torch | gigabytes |\n| --- | --- |\n| 1.13.1 | 3.1 |\n\n")


def test_a_target_that_is_not_in_every_file_is_not_known_there(files):
    found = atlas(files(OLD, replace(NEW, target="other:Stack")))
    assert {cell.state for sheet in found.sheets for cell in sheet.laws[0].cells} == {
        "holds",
        "differs",
        "not known",
    }


def test_builds_next_to_each_other_are_first_to_last(files):
    reports = [replace(OLD, torch_version=f"2.{number}") for number in range(4)]
    found = atlas(files(*reports, NEW, replace(OLD, torch_version="3.0")))
    (row,) = (row for row in found.sheets[0].laws if row.name == "export")
    assert [builds for builds, _ in by_cell(row, found.builds)] == ["2.0 to 2.3, 3.0", "2.13.0"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"reports": 1}', '{"reports": [{}]}'])
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(BrokenReport, match=r"broken\.json: "):
        atlas([path])
