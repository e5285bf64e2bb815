"""A limit on how long something may take, on systems that have an alarm."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds after which an exception is raised again: Python drops what is raised in a callback of
#: the garbage collector or of a weak reference, and Hypothesis and torch have such callbacks.
_AGAIN = 1.0


class TimedOut(BaseException):
    """A law took too long; not an Exception, so that neither Hypothesis nor a target catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimedOut after so many seconds, never if 0; an outer alarm stays set.

    It is raised until it arrives, and so is KeyboardInterrupt once Ctrl-C was pressed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and hasattr(signal, "setitimer")):
        yield
        return
    raised: type[BaseException] = TimedOut

    def stop(signum: int, frame: object) -> None:
        raise raised

    def interrupt(signum: int, frame: object) -> None:
        nonlocal raised
        raised = KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise raised

    alarm = signal.signal(signal.SIGALRM, stop)
    pressed = signal.getsignal(signal.SIGINT)
    if pressed is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    started = time.monotonic()
    outer, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        if outer:
            left = outer - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), interval)
        if pressed is signal.default_int_handler:
            signal.signal(signal.SIGINT, pressed)
        if raised is KeyboardInterrupt:
            raise KeyboardInterrupt
