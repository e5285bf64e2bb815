"""The plugin in somebody's own pytest, and check() from Python."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import hypothesis
import pytest
import torch
from _pytest._code.code import TracebackEntry

import stackgru
from stackgru.pytest_plugin.check import CheckerFailed
from stackgru.pytest_plugin.plugin import Collector
from tests.helpers import ROOT
from tests.subjects.broken.draws import DrawsOneMore
from tests.subjects.broken.precision import Gain
from tests.subjects.right.variants import Stack

TEST_FILE = """
import stackgru
from tests.subjects.broken.precision import Gain
from tests.subjects.right.variants import Stack

test_right = stackgru.suite_for(Stack, laws=["equation", "causal"], max_examples=10)
test_wrong = stackgru.suite_for(Gain, laws=["equation"], max_examples=50)
"""


@pytest.fixture
def users_file(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(TEST_FILE)
    return pytester


def test_one_line_in_a_users_file(users_file):
    given = ("--stackgru=json=found.json", "--stackgru=report=.stackgru")
    arguments = ("-n", "1", *given, "-p", "no:cacheprovider")
    result = users_file.runpytest_inprocess(*arguments)
    # Each function has one item more, which measures the facts of the build.
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "equation is violated: new state: got *, expected *",
            "*case:       input_size=1 hidden_size=1 num_layers=1 *dtype=float64 mode=eval*",
            "  script:     *repro.py",
            "  again:      stackgru check tests.subjects.broken.precision:Gain --laws equation",
            "*tests.subjects.right.variants:Stack*",
            "*broken.precision:Gain is not interchangeable with nn.GRU: in eval its results*",
        ]
    )
    reports = json.loads((users_file.path / "found.json").read_text())
    assert [report["target"] for report in reports] == [
        "tests.subjects.right.variants:Stack",
        "tests.subjects.broken.precision:Gain",
    ]
    (place,) = (users_file.path / ".stackgru").iterdir()
    assert f"  script:     {place / 'repro.py'}" in result.outlines
    assert json.loads((place / "report.json").read_text())["law"] == "equation"


def test_options_go_before_those_in_the_file(users_file):
    result = users_file.runpytest_inprocess(
        "--stackgru=laws=no-draws", "--stackgru=max-examples=3", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["1 law holds in 3 cases*"])


def test_the_command_line_wins_over_the_file_and_that_over_ini_keys(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyprojecttoml("""
        [tool.pytest.ini_options]
        stackgru_laws = ["no-draws", "dtypes"]
        stackgru_max_examples = 7
        stackgru_seed = "5"
        stackgru_report = ""
    """)
    pytester.makepyfile("""
        import stackgru
        from tests.subjects.right.variants import Stack

        test_it = stackgru.suite_for(Stack, stackgru.Options(strict=True), max_examples=4, seed=6)
    """)
    result = pytester.runpytest_inprocess(
        *("--stackgru", "max-examples=3", "--stackgru", "json=found.json"),
        *("--stackgru", "skip=dtypes", "-p", "no:cacheprovider"),
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 law holds in 3 cases*"])
    assert json.loads((pytester.path / "found.json").read_text())["seed"] == 6


def test_one_option_in_the_help_of_pytest(pytester):
    lines = pytester.runpytest_inprocess("--help").outlines
    assert len([line for line in lines if line.startswith("  --stackgru")]) == 1


def suite_of_gru(pytester, *options):
    """Run one law of the suite on nn.GRU by its name."""
    words = [f"--stackgru={one}" for one in ("target=torch.nn:GRU", "laws=no-draws", *options)]
    place = ("--pyargs", "stackgru.pytest_plugin.suite", "-p", "no:cacheprovider")
    return pytester.runpytest_inprocess(*place, *words)


def test_a_name_on_the_command_line(pytester):
    result = suite_of_gru(pytester, "profile=quick", "seed=4")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 law holds in 20 cases*"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "stackgru.pytest_plugin.suite needs --stackgru target=module:attr."),
        (["--stackgru=target=nowhere:Thing"], "there is no module named 'nowhere'."),
        (["--stackgru=target=torch.nn:GRU", "--stackgru=laws=rose"], "did you mean 'rows'"),
        (
            ["--stackgru=max-exampels=3"],
            "ERROR: there is no option 'max-exampels'; did you mean 'max-examples'?",
        ),
        (
            ["--stackgru=max_examples=none"],
            "ERROR: --stackgru max_examples must be a whole number, got 'none'.",
        ),
        (["--stackgru=seed"], "ERROR: --stackgru seed needs a value, seed=N."),
        (
            ["-o", "stackgru_strict=perhaps"],
            "ERROR: stackgru_strict must be true or false, got 'perhaps'.",
        ),
        (
            ["--stackgru-max-examples=30"],
            "ERROR: --stackgru-max-examples=30 is now written --stackgru max-examples=30.",
        ),
    ],
)
def test_usage(pytester, options, said):
    result = pytester.runpytest_inprocess("--pyargs", "stackgru.pytest_plugin.suite", *options)
    assert result.ret != 0
    assert any(said in line for line in (*result.outlines, *result.errlines))


def test_a_report_that_cannot_be_written(pytester):
    result = suite_of_gru(pytester, "max-examples=3", "json=no/such/folder.json")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(
        ["1 law holds*", "Error: the report could not be written to no/such/folder.json: No*"]
    )


def test_only_the_law_of_a_worker_that_died_has_crashed():
    """The user's other tests may kill a worker too, and other targets have reports of their own."""

    def report(nodeid, failed=False, **attributes):
        return SimpleNamespace(nodeid=nodeid, failed=failed, when="???", **attributes)

    facts = {
        "target": "my:Stack",
        "kind": "cell",
        "torch_version": "9.9",
        "seed": 3,
        "is_isolated": True,
        "facts": {"python": "4"},
        "limits": {},
        "unseen": [],
        "layers": None,
        "dropout": None,
        "weights": None,
        "strict": False,
    }
    collector = Collector(SimpleNamespace())
    collector.pytest_runtest_logreport(
        report("test_my.py::test_stack[on-this-build]", stackgru={**facts, "result": None})
    )
    for nodeid in (
        "test_my.py::test_stack[rows]",
        "test_my.py::test_other_stack[chunks]",
        "test_my.py::test_stack[no-such-law]",
        "test_my.py::test_of_the_users_own",
    ):
        collector.pytest_runtest_logreport(report(nodeid, failed=True))
    (found,) = collector.reports()
    (rows,) = found.results
    assert (rows.name, rows.status) == ("rows", "crashed")
    assert rows.reason == "the worker process died while it ran"
    assert found.exit_status == 3
    assert found.seed == 3


def test_check_from_python():
    before = torch.get_num_threads(), torch.get_rng_state()
    report = stackgru.check(Stack, max_examples=3, seed=1, skip=["transforms", "life"])
    assert report.ok
    assert report.kind == "cell"
    assert report.violations == []
    assert json.loads(report.to_json())["verdict"]["ok"]
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_check_finds_the_smallest_case():
    results = []
    report = stackgru.check(
        DrawsOneMore,
        seed=1,
        laws=["same-draws", "equation"],
        progress=lambda result, total: results.append((result.name, total)),
    )
    (violation,) = report.violations
    assert violation.law == "same-draws"
    assert "generator" in violation.message
    assert stackgru.Case.parse(violation.case) == stackgru.Case(dropout=0.5, mode="train")
    assert results == [("equation", 2), ("same-draws", 2)]


def test_check_leaves_hypothesis_as_it_was():
    before = hypothesis.settings.default
    report = stackgru.check(Gain, laws=["equation"], profile="ci")
    assert not report.ok
    assert report.seed == 0
    assert hypothesis.settings.default is before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"laws": ["nothing-like-it"]}, "no law is called 'nothing-like-it'"),
        ({"profile": "slow"}, "profile must be one of 'quick', 'default'"),
        ({"max_examples": 0}, "max_examples must be at least 1"),
        ({"dtypes": ["float8"]}, "dtypes must be one of 'float64'"),
        ({"n": 2}, "worker processes need a target by name"),
        ({"n": "many"}, "n must be a whole number or 'auto', got 'many'"),
        ({"lawz": ["rows"]}, "there is no option 'lawz'; did you mean 'laws'"),
        ({"known": {"rowz": "why"}}, "known: no law is called 'rowz'; did you mean 'rows'"),
    ],
)
def test_check_refuses_what_does_not_fit(arguments, said):
    with pytest.raises(stackgru.UsageError, match=said):
        stackgru.check(Stack, **arguments)


@pytest.mark.parametrize(
    "arguments", [["--collect-only"], ["-k", "nothing"], ["-p", "no:stackgru-collector"]]
)
def test_arguments_that_leave_no_law_to_run(arguments):
    with pytest.raises(stackgru.UsageError, match=r"^pytest's arguments left no law to run\.$"):
        stackgru.check(Stack, laws=["no-draws"], max_examples=1, pytest_args=arguments)


def test_if_pytest_itself_fails_there_is_no_verdict(monkeypatch):
    def fails(*_, **__):
        sys.stdout.write("why\n")
        return pytest.ExitCode.OK

    monkeypatch.setattr(pytest, "main", fails)
    with pytest.raises(CheckerFailed, match=r"^pytest ended with status 0:\nwhy\n$"):
        stackgru.check(Stack, laws=["no-draws"])


@pytest.mark.parametrize("options", ["--collect-only", "-x -k nothing", "--no-such-option"])
def test_what_the_environment_sets_for_pytest_does_not_matter(options, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", options)
    monkeypatch.setenv("PYTEST_PLUGINS", "no.such.plugin")
    report = stackgru.check(Stack, laws=["no-draws"], max_examples=1)
    assert report.ok
    assert os.environ["PYTEST_ADDOPTS"] == options
    assert os.environ["PYTEST_PLUGINS"] == "no.such.plugin"


def test_check_draws_what_was_asked_for():
    seen = set()

    class Sees(Stack):
        def start(self, input, h0):
            seen.add(input.dtype)
            return super().start(input, h0)

    report = stackgru.check(
        Sees,
        kind="cell",
        laws=["equation"],
        dtypes=["float32", "bfloat16"],
        max_examples=20,
        seed=1,
    )
    (equation,) = report.results
    assert (equation.status, equation.examples) == ("holds", 20)
    # Float64 is there all the same, for the facts of the build.
    assert torch.bfloat16 in seen
    assert torch.float16 not in seen


def test_check_refuses_what_is_no_target():
    with pytest.raises(stackgru.TargetError, match="no module named 'nowhere'"):
        stackgru.check("nowhere:Thing")


def test_a_target_that_is_not_the_same_twice_is_violated():
    calls = []

    class Fickle(Stack):
        """Rarely, and never when asked again."""

        def result(self, output, hn):
            calls.append(1)
            output, hn = super().result(output, hn)
            return output, hn + (len(calls) == 40)

    report = stackgru.check(Fickle, laws=["equation"], seed=1)
    (violation,) = report.violations
    assert "different results for the same call" in violation.message


def test_an_interrupted_check(monkeypatch):
    monkeypatch.setattr(pytest, "main", lambda *_, **__: pytest.ExitCode.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        stackgru.check(Stack)


def test_an_interrupted_check_that_pytest_fails_to_show(monkeypatch):
    """On Python 3.11 an interruption may have no line number, and pytest raises a TypeError."""

    def interrupt(*_):
        raise KeyboardInterrupt

    # Outside the context, pytest must be able to show this test's own failure.
    with monkeypatch.context() as patched:
        patched.setattr(Collector, "pytest_runtest_logreport", interrupt)
        patched.setattr(TracebackEntry, "lineno", property(lambda self: None - 1))
        with pytest.raises(KeyboardInterrupt):
            stackgru.check(Stack, laws=["equation"])
