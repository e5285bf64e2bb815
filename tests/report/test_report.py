"""The report: verdict, exit status, JSON, and how it looks."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import stackgru
from stackgru.cases.case import Case
from stackgru.laws.registry import all_laws, deciding
from stackgru.outcomes import Violation
from stackgru.report.files import write_text
from stackgru.report.law_result import LawResult
from stackgru.report.progress import Progress
from stackgru.report.report import BrokenReport, Report
from stackgru.report.terminal import render, violation_text

EVAL_CASE = "input_size=1 hidden_size=1 num_layers=1 batch=1 seq_len=1 dropout=0.0 mode=eval"
TRAIN_CASE = EVAL_CASE.replace("eval", "train")


DECIDED_BY = {
    question: deciding(question) for question in {law.decides for law in all_laws().values()} - {""}
}


def law_result(name, family="values", question="training", case=None, **changes):
    status = "violated" if case else "holds"
    violation = Violation(name, case, "1 is 2", 1.0, 1e-9, "step 0") if case else None
    decides = next((key for key, names in DECIDED_BY.items() if name in names), "")
    values = {
        "status": status,
        "examples": 100,
        "violation": violation,
        "decides": decides,
        "decided_by": DECIDED_BY.get(decides, ()),
        **changes,
    }
    return LawResult(name, family, question, **values)


def report(*results, whole="same"):
    facts = {"whole_sequences_from_one_seed": {"2 layers": whole, "3 layers": whole}}
    return Report("my:Stack", "cell", "9.9", facts, results, seed=3)


HELD = (
    law_result("equation"),
    law_result("one-step", question="seeds"),
    law_result("unrolled"),
    law_result("same-masks"),
    law_result("gradients", "gradients", "gradients"),
    law_result("purity", "conduct", "conduct"),
    law_result("stateless", "conduct", "conduct"),
    law_result("dtypes"),
    law_result("empty-batch"),
)


def test_all_hold():
    found = report(*HELD)
    assert found.ok
    assert found.exit_status == 0
    assert set(found.answers.values()) == {"yes"}
    assert found.sentence == (
        "my:Stack is interchangeable with nn.GRU: all 9 laws that apply hold (900 examples)."
    )


def test_whole_sequences_are_an_answer_not_a_law():
    found = report(*HELD, whole="other masks")
    assert found.ok
    assert found.answers["same_seeds_whole_sequences"] == "no"
    assert "same seeds (whole sequences): no" in found.sentence


@pytest.mark.parametrize(
    ("name", "question", "case", "answers"),
    [
        ("equation", "values", EVAL_CASE, ("no", "yes", "yes")),
        ("same-masks", "training", TRAIN_CASE, ("yes", "no", "yes")),
        ("one-step", "seeds", TRAIN_CASE, ("yes", "yes", "no")),
        ("one-step", "values", EVAL_CASE, ("no", "yes", "yes")),
    ],
)
def test_a_violation_answers_the_question_of_its_case(name, question, case, answers):
    broken = law_result(name, question=question, case=case)
    found = report(*(broken if held.name == name else held for held in HELD))
    assert found.exit_status == 1
    assert tuple(found.answers.values())[:3] == answers
    assert "is not interchangeable with nn.GRU" in found.sentence


@pytest.mark.parametrize("status", ["crashed", "timed out"])
def test_no_verdict(status):
    found = report(*HELD[1:], law_result("equation", status=status, reason="so"))
    assert not found.ok
    assert found.exit_status == 3
    assert found.answers["same_values"] == "not tried"
    assert found.sentence == "my:Stack: no verdict, because of equation."


def test_nothing_applied_is_no_verdict():
    found = report(law_result("causal", status="not applicable", reason="a cell"))
    assert found.exit_status == 3
    assert "no law applied" in found.sentence


def test_some_laws_only_claim_no_more_than_they_show():
    found = report(HELD[0])
    assert found.exit_status == 0
    assert "nothing against it by the law that was tried" in found.sentence


def test_json_has_the_schema():
    infinite = Violation("equation", EVAL_CASE, "inf", float("inf"), float("nan"), None)
    found = report(*HELD[1:], law_result("equation", case=EVAL_CASE, violation=infinite))
    data = json.loads(found.to_json())
    assert data["schema_version"] == 2
    assert {"target", "kind", "torch_version", "build_facts", "verdict", "laws"} <= set(data)
    equation = data["laws"][-1]
    assert {"name", "family", "status", "examples", "reason", "violation"} <= set(equation)
    assert equation["violation"] == {
        "case": EVAL_CASE,
        "message": "inf",
        "largest_difference": "inf",
        "allowed_difference": "nan",
        "place": None,
    }


def test_results_travel_as_plain_data():
    result = law_result("equation", case=EVAL_CASE)
    assert LawResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_a_report_is_read_from_its_json():
    infinite = Violation(
        *("equation", EVAL_CASE, "inf", float("inf"), 0.5, "step 0", "step 0, layer 0", "r"),
        *(((0.5, float("inf")), (2.0, 0.0)), "values", "a.py"),
    )
    found = report(*HELD[1:], law_result("equation", case=EVAL_CASE, violation=infinite))
    assert Report.from_json(found.to_json()) == found


def test_a_report_of_0_1_is_read():
    text = (Path(__file__).parent / "report_of_0_1.json").read_text()
    found = Report.from_json(text)
    verdict = json.loads(text)["verdict"]
    verdict.pop("sentence")
    now = {"ok": found.ok, **found.answers}
    assert now.pop("edge_inputs") == "not tried"
    assert now == {key: "not tried" if one == "not shown" else one for key, one in verdict.items()}
    assert found.violations[0].difference == float("inf")
    assert found.violations[0].first_wrong_at.startswith(
        "step 0, layer 0, row 0, unit 0: it is nan"
    )
    assert [one.name for one in found.known] == ["same-masks"]
    assert Report.from_json(found.to_json()) == found


def test_what_0_1_leaves_out_is_what_the_laws_of_0_1_have():
    for law in all_laws().values():
        if law.name in ("drop-in", "passes", "parameters"):  # 0.1 had no such laws
            continue
        for mode in ("train", "eval"):
            case = Case(mode=mode)
            entry = law_result(law.name, law.family, "", case=str(case)).to_dict()
            for key in ("question", "decides", "decided_by"):
                del entry[key]
            result = LawResult.from_dict(entry)
            assert result.question == law.answered_by(case)
            decides = "" if law.decides == "edge inputs" else law.decides  # nothing did in 0.1
            assert (result.decides, result.decided_by) == (decides, deciding(decides))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^this is not a report of stackgru's: Expecting .*\.$"),
        ("[]", r"^this is not a report of stackgru's: it has no schema_version\.$"),
        ('{"schema_version": 3}', r"schema version 3, and this stackgru reads 2: it needs a newer"),
        ('{"schema_version": 1}', r"^the report is incomplete or damaged: KeyError\('laws'\)\.$"),
    ],
)
def test_what_is_no_report_is_refused(text, message):
    with pytest.raises(BrokenReport, match=message) as caught:
        Report.from_json(text)
    assert isinstance(caught.value, stackgru.StackgruError)


def test_a_report_prints_as_the_command_line_shows_it():
    found = report(*HELD)
    assert str(found) == render(found, width=80, colour=False).rstrip()


def test_known_violations_alone_are_no_failure():
    found = report(law_result("one-step", case=TRAIN_CASE, status="known", reason="so"))
    assert (found.ok, found.exit_status) == (True, 0)
    assert "nothing new" in found.sentence


@pytest.mark.parametrize("width", [80, 120])
def test_looks_well_at_any_width(width):
    found = report(*HELD[:-1], law_result("same-masks", case=TRAIN_CASE))
    lines = render(found, width=width, colour=False).splitlines()
    assert lines[0] == "my:Stack (cell) against nn.GRU of torch 9.9, seed 3"
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == found.sentence
    assert max(map(len, lines[:-1])) <= width
    assert "8 laws hold in 800 cases (-v lists them)." in lines
    assert found.causes[0].answers == ("same_training",)
    assert "same training (same masks)    no (1)" in "".join(lines)
    every = render(found, width=width, colour=False, verbose=True).splitlines()
    assert "  equation    holds     100 examples" in every


def test_colour_is_used_where_it_is_wanted():
    assert "\x1b[" in render(report(*HELD), width=80, colour=True)


def test_a_violation_ends_with_the_line_that_reruns_it():
    text = violation_text(Violation("equation", EVAL_CASE, "1 is 2", 1.0, 0.5, "step 0"), "a b:C")
    assert text.splitlines()[-1].strip() == "again:      stackgru check 'a b:C' --laws equation"


def test_a_strict_violation_is_run_again_strictly():
    violation = Violation("equation", EVAL_CASE, "1 is 2", 1.0, 0.5, "step 0")
    assert violation_text(violation, "C", strict=True).endswith("check C --laws equation --strict")
    shown = violation_text(violation, "C", None, strict=True)
    assert shown.endswith('laws=["equation"], strict=True)')
    found = replace(report(law_result("equation", case=EVAL_CASE)), strict=True)
    assert "check my:Stack --laws equation --strict\n" in render(found, width=80, colour=False)
    assert Report.from_json(found.to_json()) == found


def test_what_cannot_be_said_by_options_is_run_again_from_python():
    text = violation_text(Violation("equation", EVAL_CASE, "1 is 2", 1.0, 0.5, "step 0"), "C", None)
    assert text.endswith('from Python, stackgru.check(the same Convention, laws=["equation"])')


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("before")
    monkeypatch.setattr(Path, "replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_progress(stream, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys, "stderr", stream())
    stderr = sys.stderr
    violated = law_result("rows", case=EVAL_CASE)
    with Progress("my:Stack") as progress:
        progress.update(HELD[0], 10)
        progress.found(violated.violation)
        progress.found(violated.violation)
        progress.update(violated, 10)
        progress._bar.refresh()
    shown = stderr.getvalue()
    line = f"rows                   violated        by example 100: {EVAL_CASE}"
    if stream is Terminal:
        assert f"\x1b[1;31m{line[:69]}…\x1b[0m\n" in shown, "in red, cut to the width"
        assert "checking my:Stack" in shown, "the moving line"
        assert shown.endswith("\x1b[2K"), "which is taken away"
    else:
        assert shown.splitlines() == [
            "[ 1/10] equation               holds           100 examples",
            f"rows                   violated so far: {EVAL_CASE}",
            f"[ 2/10] {line}",
        ]


def test_what_is_known_is_no_verdict_where_a_law_crashed():
    crashed = law_result("rows", status="crashed", violation=None, reason="no")
    known = law_result("chunks", case="seed=1", status="known")
    found = report(*HELD, crashed, known)
    assert found.known
    assert found.sentence == "my:Stack: no verdict, because of rows."
