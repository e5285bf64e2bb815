"""One law on one target: what is recorded where the law itself fails, and its time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import Flaky

from stackgru.cases.case import Case
from stackgru.engine import collect as collecting
from stackgru.engine import run as running
from stackgru.engine.database import NamespacedDatabase
from stackgru.engine.run import LawRun
from stackgru.engine.time_limit import TimedOut, time_limit
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.target import load
from tests.subjects.broken.equations import GatesInterleaved
from tests.subjects.broken.precision import Gain
from tests.subjects.right.variants import Stack


def run_of(check, **options):
    """Return a run of a law that does what ``check`` does."""
    law = replace(all_laws()["equation"], check=check)
    return LawRun(load(Stack), law, Options(max_examples=5, seed=1, **options))


def test_a_law_that_raises_has_crashed():
    run = run_of(lambda pair: 1 / 0)
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

    run = run_of(check)
    with pytest.raises(Flaky):
        run.run()
    assert run.result.status == "crashed"
    assert run.result.reason.startswith("Flaky")
    assert run.result.violation is None


def test_a_law_that_takes_too_long_is_stopped():
    run = run_of(lambda pair: time.sleep(60), timeout=0.2)
    with pytest.raises(pytest.fail.Exception, match=r"timed out: exceeded the 0\.2 s limit"):
        run.run()
    assert run.result.status == "timed out"


def test_the_limit_is_said_again_to_what_did_not_hear_it():
    def check(pair):
        with suppress(TimedOut):  # as Python does in a callback of the garbage collector
            time.sleep(60)
        time.sleep(60)

    run = run_of(check, timeout=0.1)
    with pytest.raises(pytest.fail.Exception, match=r"exceeded the 0\.1 s limit"):
        run.run()


@pytest.mark.parametrize("then", [0, 60])
@pytest.mark.parametrize("timeout", [0, 100])
def test_ctrl_c_is_said_again_to_what_did_not_hear_it(then, timeout):
    def check(pair):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        time.sleep(then)
        raise Violated("found after it was interrupted")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_of(check, timeout=timeout).run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = run_of(lambda pair: signal.raise_signal(signal.SIGINT))
        run.run()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.result.status == "holds"


def test_a_violation_found_before_the_time_is_over_is_kept():
    def check(pair):
        if run._violation is not None:
            time.sleep(60)
        raise Violated("it is wrong")

    run = run_of(check, timeout=2)
    with pytest.raises(Violated, match="it is wrong"):
        run.run()
    assert run.result.status == "violated"
    assert run.result.reason == "exceeded the 2 s limit, so the case may not be the smallest"
    assert run.result.violation.message == "it is wrong"


def test_the_time_limit_covers_the_search_for_the_first_error(monkeypatch):
    monkeypatch.setattr(running, "find_first_error", lambda *_: time.sleep(60))

    def check(pair):
        raise Violated("it is wrong", place="step 0")

    run = run_of(check, timeout=2)
    started = time.monotonic()
    with pytest.raises(Violated, match="it is wrong"):
        run.run()
    assert time.monotonic() - started < 30
    assert run.result.violation.first_wrong_at is None


def test_a_violation_is_kept_though_the_search_for_its_first_error_fails(monkeypatch):
    monkeypatch.setattr(running, "find_first_error", lambda *_: 1 / 0)

    def check(pair):
        raise Violated("it is wrong", place="step 0")

    run = run_of(check)
    with pytest.raises(Violated, match="it is wrong"):
        run.run()
    assert run.result.status == "violated"
    assert run.result.reason.startswith("where it first goes wrong was not found: ZeroDivision")


def test_an_outer_alarm_stays_set():
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 100, 7)
        with time_limit(1):
            pass
        left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
        assert 50 < left <= 100
        assert interval == 7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("changes", [{"shrink": False}, {"known": (("equation", "so"),)}])
def test_what_is_not_shrunk_is_not_kept(kept, changes):
    """The next run would take it for the smallest case."""
    run = LawRun(load(Gain), all_laws()["equation"], Options(max_examples=20, **changes))
    with suppress(Violated, pytest.xfail.Exception):
        run.run()
    assert run.result.violation is not None
    assert not any(kept.data.values())


def test_no_time_limit_is_set_by_zero():
    run = run_of(lambda pair: None, timeout=0)
    run.run()
    assert run.result.status == "holds"


def test_other_threads_have_no_alarm_and_run_without_a_limit():
    run = run_of(lambda pair: time.sleep(0.02), timeout=0.01)
    thread = threading.Thread(target=run.run)
    thread.start()
    thread.join()
    assert run.result.status == "holds"
    assert run.result.seconds > 0.01


def test_what_it_is_is_asked_in_one_thread_too(monkeypatch):
    seen = []
    monkeypatch.setattr(running, "diagnose", lambda *_, **__: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        run_of(lambda pair: None).diagnosis()
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


@pytest.fixture
def kept():
    """Have Hypothesis keep its examples in memory, from none on."""
    name = "ci" if os.environ.get("CI") else "dev"
    database = InMemoryExampleDatabase()
    settings.register_profile("kept", settings.get_profile(name), database=database)
    settings.load_profile("kept")
    yield database
    settings.load_profile(name)


def first_case(target, law):
    """Return the case that a law's violation is told by, and how many examples it took."""
    run = LawRun(load(target), all_laws()[law], Options(max_examples=100))
    with pytest.raises(Violated):
        run.run()
    return Case.parse(run.result.violation.case), run.result.examples


def test_what_was_found_is_tried_first_and_for_the_same_law_and_target_only(kept):
    """Hypothesis does not shrink again what it has kept, were it another's smallest case."""
    needs_two_units, _ = first_case(GatesInterleaved, "equation")
    assert needs_two_units.hidden_size == 2
    assert first_case(GatesInterleaved, "equation") == (needs_two_units, 1)
    smallest, _ = first_case(Gain, "equation")
    assert smallest == replace(smallest, hidden_size=1, num_layers=1, seq_len=1, batch=1)
    assert first_case(Gain, "one-step")[0].hidden_size == 1


def test_a_part_of_a_database_is_apart():
    whole = InMemoryExampleDatabase()
    one, other = NamespacedDatabase(whole, "one"), NamespacedDatabase(whole, "other")
    one.save(b"key", b"found")
    assert [list(part.fetch(b"key")) for part in (one, other)] == [[b"found"], []]
    other.delete(b"key", b"found")
    assert list(one.fetch(b"key")) == [b"found"]
    one.delete(b"key", b"found")
    assert not any(whole.data.values())


def test_a_diagnosis_that_fails_is_told(monkeypatch):
    def fails(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(running, "diagnose", fails)
    running._diagnosed.cache_clear()
    (run, _) = collecting.collect_runs(Stack, Options(laws=("equation",)))
    assert run.diagnosis()["sentence"] == "could not be compared: ValueError: no"
    running._diagnosed.cache_clear()


def test_slow_laws_begin_early_where_there_are_several_workers():
    runs = collecting.collect_runs(Stack, Options())
    assert collecting.spread(runs, 1) == runs
    found = collecting.spread(runs, 2)
    assert sorted(map(id, found)) == sorted(map(id, runs))
    assert [collecting.run_id(found[at]) for at in (0, 1, 6, 11, -1)] == [
        *("equation", "compile", "export", "script"),
        collecting.FACTS,
    ]


class _Gone(InMemoryExampleDatabase):
    """A database on a server that is away."""

    def save(self, key, value):
        raise ConnectionError("away")

    def fetch(self, key):
        raise ConnectionError("away")


def test_a_database_that_goes_away_is_outlived():
    law = replace(all_laws()["equation"], check=lambda pair: None)
    run = LawRun(load(Stack), law, Options(max_examples=5, seed=1))
    profile = settings.get_current_profile_name()
    settings.register_profile("gone", settings.get_profile(profile), database=_Gone())
    settings.load_profile("gone")
    try:
        run.run()
    finally:
        settings.load_profile(profile)
    assert run.result.status == "holds"
    assert run.result.reason.startswith("the example database failed: ")
