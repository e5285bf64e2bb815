"""Known violations: let be, told, and missed where they are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

import stackgru
from stackgru.engine.known import read_known
from stackgru.options import UsageError
from tests.subjects.broken.draws import DrawsOneMore
from tests.subjects.right.variants import Stack

TARGET = "tests.subjects.broken.draws:DrawsOneMore"


@pytest.fixture
def known(tmp_path):
    def write(text):
        path = tmp_path / "known.txt"
        path.write_text(text)
        return path

    return write


def test_a_file_of_known_violations(known):
    path = known("# ours\n\nsame-draws: an extra draw, see #12\nrows : no: really\n")
    assert read_known(path) == (("same-draws", "an extra draw, see #12"), ("rows", "no: really"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rowz: why", "line 1: no law is called 'rowz'; did you mean 'rows'"),
        ("\nqqqqqqq: why", "line 2: no law is called 'qqqqqqq'; `stackgru laws` lists them"),
        ("rows", "expected a law and a reason"),
        ("rows:", "expected a law and a reason"),
        ("rows: a\nrows: b", "line 2: rows is listed twice"),
    ],
)
def test_a_line_that_matches_nothing_is_an_error(text, said, known):
    with pytest.raises(UsageError, match=said):
        read_known(known(text))


def test_a_file_of_0_1_is_read():
    path = Path(__file__).with_name("known_of_0_1.txt")
    assert read_known(path) == (("same-masks", "not a number"), ("no-draws", "nothing is drawn"))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read from .*: No such file or directory"):
        read_known(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        read_known(tmp_path / "bytes")


def test_known_violations_are_reported_as_known(known):
    """They do not count, are not shrunk, and one that holds is said to."""
    path = known("same-draws: an extra draw\nrows: once\n")
    laws = ("same-draws", "rows", "equation")
    report = stackgru.check(DrawsOneMore, laws=laws, seed=1, max_examples=20, known=path)
    found = {one.name: one for one in report.results}
    assert found["same-draws"].status == "known"
    assert found["same-draws"].reason == "an extra draw"
    assert found["same-draws"].violation is not None
    assert found["rows"].status == "holds"
    assert found["rows"].reason == "though known to be violated: once"
    assert report.ok
    assert report.exit_status == 0
    assert report.violations == []
    assert report.known == [found["same-draws"]]
    assert report.answers["same_seeds_one_step"] == "no"
    assert "nothing new; violated as known: same-draws; no longer" in report.sentence
    assert report.diagnosis is None


def test_others_still_count(known):
    path = known("same-draws: an extra draw\n")
    laws = ("same-draws", "mask-count")
    report = stackgru.check(DrawsOneMore, laws=laws, seed=1, max_examples=20, known=path)
    assert report.exit_status == 1
    assert [one.law for one in report.violations] == ["mask-count"]
    assert "(besides, as known: same-draws)" in report.sentence


def test_known_in_pytest(pytester, known):
    path = known("same-draws: an extra draw")
    given = (f"target={TARGET}", "laws=same-draws", "max-examples=20", f"known={path}")
    options = ("--pyargs", "stackgru.pytest_plugin.suite", "-rx", "-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(*options, *(f"--stackgru={one}" for one in given))
    result.assert_outcomes(xfailed=1, passed=1)
    result.stdout.fnmatch_lines(["*same-draws*known*an extra draw*"])
    result.stdout.fnmatch_lines(["XFAIL *known: an extra draw*"])
    assert not (pytester.path / ".stackgru").exists()


def test_a_known_violation_that_is_gone_counts_if_wanted():
    known = {"rows": "once"}
    report = stackgru.check(Stack, laws=["rows"], max_examples=5, known=known)
    assert (report.exit_status, [one.name for one in report.gone]) == (0, ["rows"])
    assert report.sentence.endswith("nothing new; no longer violated, though known to be: rows.")
    assert "rows  holds  5 examples, though known to be violated: once" in str(report)
    strict = stackgru.check(Stack, laws=["rows"], max_examples=5, known=known, known_strict=True)
    assert (strict.exit_status, strict.results[0].status) == (1, "gone")


def test_a_known_violation_that_others_see_as_well_has_grown():
    known, laws = {"same-draws": "an extra draw"}, ("same-draws", "mask-count")
    report = stackgru.check(DrawsOneMore, laws=laws, seed=1, max_examples=20, known=known)
    (cause,) = report.causes
    assert (cause.laws, cause.grown) == (("mask-count",), ("same-draws",))
    assert "known:   to same-draws alone; it has grown" in str(report)


def test_what_is_known_of_a_suite_stands_in_its_file(pytester):
    pytester.makepyfile(
        test_mine="""
        import stackgru
        from tests.subjects.broken.draws import DrawsOneMore

        known = {"same-draws": "an extra draw"}
        test_it = stackgru.suite_for(DrawsOneMore, laws=["same-draws"], known=known)
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(xfailed=1, passed=1)
