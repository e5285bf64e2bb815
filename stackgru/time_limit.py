"""A limit on how long something may take, where the system has an alarm for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimedOut(BaseException):
    """A law took too long; not an Exception, so that neither Hypothesis nor a target catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimedOut after so many seconds, where the system has an alarm for it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not (seconds > 0 and is_main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
