"""One law on one target: what is recorded where the law itself fails, and its time limit."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from hypothesis.errors import Flaky

from stackgru.laws import all_laws
from stackgru.options import Options
from stackgru.running import LawRun
from stackgru.targets import load
from tests.variants import Stack


def law_run(check, **options):
    """Return a run of a law that does what ``check`` does."""
    law = replace(all_laws()["equation"], check=check)
    return LawRun(load(Stack), law, Options(max_examples=5, seed=1, **options))


def test_a_law_that_raises_has_crashed():
    run = law_run(lambda pair: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert run.result.status == "crashed"
    assert run.result.reason == "ZeroDivisionError: division by zero"
    assert run.result.violation is None


def test_a_law_that_raises_once_only_has_crashed_too():
    calls = []

    def check(pair):
        calls.append(pair)
        if len(calls) == 2:
            raise OSError("no memory")

    run = law_run(check)
    with pytest.raises(Flaky):
        run.run()
    assert run.result.status == "crashed"
    assert run.result.reason.startswith("Flaky")
    assert run.result.violation is None


def test_a_law_that_takes_too_long_is_stopped():
    run = law_run(lambda pair: time.sleep(60), timeout=0.2)
    with pytest.raises(pytest.fail.Exception, match=r"timed out: it took over 0\.2 s"):
        run.run()
    assert run.result.status == "timed out"


def test_no_time_limit_is_set_by_zero():
    run = law_run(lambda pair: None, timeout=0)
    run.run()
    assert run.result.status == "holds"


def test_other_threads_have_no_alarm_and_run_without_a_limit():
    run = law_run(lambda pair: time.sleep(0.02), timeout=0.01)
    thread = threading.Thread(target=run.run)
    thread.start()
    thread.join()
    assert run.result.status == "holds"
    assert run.result.seconds > 0.01
