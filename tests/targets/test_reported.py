"""Kinds of public reports: nothing right is accused, and what is refused is said."""

from __future__ import annotations

import contextlib
import os

import pytest

from stackgru import Convention
from stackgru.cases.case import Case
from stackgru.engine.collect import collect_runs
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import NotApplicable, Violated
from stackgru.report.report import Report
from stackgru.targets.probe import supported_dtypes
from tests.helpers import law_run
from tests.subjects import reported

#: What was accused, or gave no answer, and what is quick.
LAWS = (
    *("equation", "one-step", "unrolled", "same-masks", "rows", "chunks", "dtypes", "autocast"),
    *("empty-batch", "gradients", "forward-mode", "purity", "stateless", "meta", "life"),
    *("checkpoint", "no-draws", "functional-call"),
)


def report_on(target, laws=LAWS, **options):
    """Run laws on a target in this process; return the report."""
    options = {"max_examples": 6, "seed": 1, "shrink": False, **options}
    runs = [one for one in collect_runs(target, Options(laws=laws, **options)) if one.law]
    for run in runs:
        with contextlib.suppress(pytest.skip.Exception, Violated):
            run.run()
    entry = runs[0].to_dict()
    names = ("target", "kind", "torch_version", "limits", "unseen", "layers", "weights")
    return Report(results=[run.result for run in runs], **{name: entry[name] for name in names})


@pytest.mark.parametrize(
    ("target", "refused", "limits"),
    [
        (reported.NeedsBias, [], ["bias=False"]),
        (
            reported.SinglePrecision,
            ["dtypes", "meta"],
            [one for one in supported_dtypes() if one != "float32"],
        ),
        (reported.scripted, [], []),
        (reported.RefusesAnEmptyBatch, ["empty-batch"], []),
        (reported.EvalReturnsNone, [], []),
    ],
)
def test_what_is_right_is_interchangeable(target, refused, limits):
    found = report_on(target)
    assert found.exit_status == 0, str(found)
    assert [one.name for one in found.refused] == refused
    assert list(found.limits) == limits
    assert "is interchangeable with nn.GRU" in found.sentence
    assert ("edge inputs: no" in found.sentence) == bool(refused)
    assert found.answers["edge_inputs"] == ("no" if refused else "yes")
    assert ("of one layer" in found.sentence) == (target is reported.scripted)


def test_an_empty_batch_that_is_refused_says_nothing_else():
    for name in ("purity", "stateless", "no-draws", "meta", "functional-call", "checkpoint"):
        law, case = all_laws()[name], Case(2, 3, 2, batch=0)
        run = law_run(reported.RefusesAnEmptyBatch, name)
        run._pid = os.getpid()
        run._plain(law)(case)
        assert run._remark in (None, "without empty batches, which the target refuses")
        strict = law_run(reported.RefusesAnEmptyBatch, name, strict=True)
        strict._pid = os.getpid()
        with contextlib.suppress(NotApplicable), pytest.raises(Violated, match="no rows"):
            strict._plain(law)(case)


def test_what_is_refused_counts_with_strict():
    found = report_on(reported.RefusesAnEmptyBatch, ("empty-batch",), strict=True)
    assert found.exit_status == 1
    assert "ValueError: no rows" in found.violations[0].message


def test_nothing_is_interchangeable_before_gradients_and_conduct_were_tried():
    values = report_on(reported.CutOff, ("values",))
    assert values.exit_status == 0
    assert "the other laws are needed for a verdict" in values.sentence
    assert report_on(reported.CutOff, ("gradients",)).exit_status == 1


def test_a_copy_that_cannot_be_trained_is_a_violation_of_life():
    found = report_on(reported.CopiesWithoutLeaves, ("life",), max_examples=100)
    assert [one.law for one in found.violations] == ["life"]
    assert "is no leaf of the graph" in found.violations[0].message


def test_another_equation_is_not_accused_of_its_own_rounding():
    found = report_on(
        Convention(reported.OtherEquation),
        ("rows", "chunks", "strided", "autocast", "equation"),
        max_examples=60,
    )
    assert [one.law for one in found.violations] == ["equation"]
