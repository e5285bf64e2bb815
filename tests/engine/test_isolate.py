"""A child that dies is never taken for one that answered."""

from __future__ import annotations

import os
import signal
import time
from unittest.mock import ANY

import pytest

from stackgru.engine.isolate import Child, Ended, is_available

pytestmark = pytest.mark.skipif(not is_available(), reason="no process can be forked here")


@pytest.fixture
def asked():
    """Return a function that has a child serve requests, and returns the child."""
    children = []

    def child_for(serve, **options):
        children.append(Child(lambda request, word: serve(request), **options))
        return children[-1]

    yield child_for
    for child in children:
        child.close()


def test_a_child_answers_one_request_after_the_other(asked):
    child = asked(lambda request: (request, os.getpid()))
    first, second = child.ask(1), child.ask(2)
    assert (first[0], second[0]) == (1, 2)
    assert first[1] == second[1] != os.getpid()


def test_an_answer_after_the_parent_was_killed_does_not_count(asked):
    def serve(request):
        os.kill(os.getppid(), signal.SIGKILL)
        return "survived"

    for _ in range(20):  # the child outlives its parent for some microseconds
        assert asked(serve).ask(1) == Ended("killed its parent process")


def test_what_a_child_raises_is_told_and_a_new_one_answers(asked):
    def serve(request):
        if request:
            raise SystemExit(request)
        return "there"

    child = asked(serve)
    assert child.ask("over") == Ended("raised SystemExit: over")
    assert child.ask("") == "there"


def test_a_stopped_parent_does_no_harm(asked):
    def serve(request):
        os.kill(os.getppid(), signal.SIGSTOP)
        return request

    child = asked(serve)
    assert [child.ask(1), child.ask(2)] == [1, 2]


def test_a_child_that_ends_between_two_requests_is_told_of_at_the_second(asked):
    def serve(request):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # nobody handles SIGALRM
        return request

    child = asked(serve)
    assert child.ask(1) == 1
    time.sleep(0.5)
    assert child.ask(2) == Ended("died (SIGALRM)")
    assert child.ask(3) == 3, "another child serves"


def test_a_death_near_the_limit_on_memory_is_told_from_others(asked):
    def serve(megabytes):
        held = b"x" * (megabytes << 20)
        assert held
        os.abort()

    child = asked(serve, memory=256 << 20)
    assert child.ask(200) == Ended("died (SIGABRT)", traceback=ANY, was_full=True)
    assert child.ask(20) == Ended("died (SIGABRT)", traceback=ANY, was_full=False)
