"""Whatever is killed when: what a run has shown, the next run shows again."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from contextlib import suppress

import pytest

from stackgru.laws.names import NAMES
from tests.helpers import HANDWRITTEN, left_running, start_check, started_with

TARGET = f"{HANDWRITTEN}:StatesInReverse"
MOMENTS = 50
_MOMENTS = 3.0, 16.0  # seconds: what is found shows from the fifth on


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_what_was_shown_is_shown_again(moment, tmp_path, record_property):
    mark, what = uuid.uuid4().hex, ("whole", "workers", "command")[moment % 3]
    log = tmp_path / "shown"
    with log.open("w") as errors:
        process = start_check(TARGET, "-n", 2, cwd=tmp_path, mark=mark, stderr=errors)
        time.sleep(random.Random(moment).uniform(*_MOMENTS))
        for pid, command in started_with(mark):
            # The workers, their guards and children are execnet's processes and forks of these.
            is_worker = b"exec(eval" in command
            if {"whole": True, "workers": is_worker, "command": pid == process.pid}[what]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if what == "workers":
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    shown = {word for word in log.read_text().split() if word in NAMES and is_violated(word, log)}
    assert not left_running(mark)
    record_property("shown", len(shown))
    if shown:
        assert violated_again(shown, tmp_path) >= shown


def is_violated(law, log):
    """Whether a run's output says that a law is violated."""
    lines = [line for line in log.read_text().splitlines() if law in line.split()[:3]]
    return any(" violated " in line for line in lines)


def violated_again(laws, folder):
    """Return which laws the next run finds violated, with hardly an example of its own."""
    wanted = [word for law in sorted(laws) for word in ("--laws", law)]
    few = ("--max-examples", 1, "--seed", 12345)
    process = start_check(TARGET, *wanted, *few, cwd=folder)
    output, _ = process.communicate(timeout=120)
    return {law for law in laws if f"\n{law} is violated: " in output}
