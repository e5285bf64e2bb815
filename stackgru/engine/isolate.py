"""A child process that runs what may die, hang, or change its process: a target's own code.

The child is forked, so nothing is imported anew and objects need no name. Between this process and
the child stands a guard that only waits: a target that kills its parent, or its whole group, kills
the guard, and this process goes on.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import mmap
import multiprocessing
import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

#: Seconds that a child has to stop by itself after its limit, before it is killed.
GRACE = 2.0
#: Python's own thresholds have a child look for garbage for a tenth of its time.
_GARBAGE = 20_000, 20, 20
_STATUS = struct.Struct("i")
#: A wait status, and how many KiB a process held at most besides those it began with.
_END = struct.Struct("iq")
#: The share of a limit on memory from which on a process may have died of it: not all data that it
#: asks for is ever held.
_FULL = 0.6
_CUT_OFF = 114  # the status of a process that could not answer
_POLL = 0.001
_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent dies


def is_available(device: str = "cpu") -> bool:
    """Whether a process can be forked here; one that may hold a GPU, or torch on macOS, cannot."""
    import torch

    return sys.platform == "linux" and device == "cpu" and not torch.cuda.is_available()


@dataclass(frozen=True)
class Ended:
    """How a child ended that gave no answer.

    Attributes:
        how: in words: "died (SIGABRT)", "ended with status 0", "killed its parent process".
        was_late: whether it was killed because its time was over.
        traceback: the last lines of Python that it ran, if the signal left time to write them.
        was_full: whether it died near the limit on its memory, of which that may have come.
    """

    how: str
    was_late: bool = False
    traceback: str = ""
    was_full: bool = False


class Note:
    """A text in memory that this process shares with its children: what one tried when it died."""

    _SIZE = 1 << 16

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, self._SIZE)

    def write(self, text: str) -> None:
        """Replace the text; it is cut if it is too long."""
        data = text.encode()[: self._SIZE - _STATUS.size]
        self._map[: _STATUS.size + len(data)] = _STATUS.pack(len(data)) + data

    def read(self) -> str:
        """Return the text."""
        (size,) = _STATUS.unpack(self._map[: _STATUS.size])
        return self._map[_STATUS.size : _STATUS.size + size].decode(errors="replace")


class Child:
    """A forked process that answers requests, and is replaced when it dies.

    Args:
        serve: called in the child with each request and a function that sends word meanwhile.
        memory: how many bytes of data the child may add to its own; 0 for no limit.
        started: called with the number of each process group that a child leads.
    """

    def __init__(
        self,
        serve: Callable[[Any, Callable[[Any], None]], Any],
        *,
        memory: int = 0,
        started: Callable[[int], None] | None = None,
    ) -> None:
        self._serve = serve
        self._memory = memory
        self._started = started
        self._guard = 0
        self._pid = 0
        self._answers: Connection
        self._status: Connection
        self._crash = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object

    def ask(
        self,
        request: Any,
        *,
        seconds: float = 0.0,
        heard: Callable[[Any], float | None] | None = None,
    ) -> Any:
        """Return the child's answer, or an Ended if it gave none.

        Args:
            request: anything that can be pickled.
            seconds: after so many the child is killed; 0 for never.
            heard: called with what the child sends before its answer; it may return the seconds
                that are left from then on.
        """
        if not self._guard:
            self._fork()
        with suppress(BrokenPipeError):  # it has ended since; what is read below says so
            self._answers.send(request)
        until = time.monotonic() + seconds if seconds else None
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready = wait([self._answers, self._status], left)
            if self._answers in ready:
                with suppress(EOFError, OSError):
                    is_last, found = self._answers.recv()
                    if isinstance(found, Ended):
                        self.kill()
                        return found
                    if is_last:
                        return found if self._is_guarded() else self._ended()
                    limit = None if heard is None else heard(found)
                    if limit is not None:
                        until = time.monotonic() + limit if limit else None
                    continue
            if not ready:
                self.kill()
                return Ended("did not stop", was_late=True, traceback=self._traceback())
            return self._ended()

    def stop(self) -> Ended | None:
        """End the child in order; return how it ended if that was otherwise."""
        self._answers.close()
        ended = self._ended()
        return None if ended.how == "ended with status 0" else ended

    def kill(self) -> None:
        """End the child and whatever it has started."""
        if not self._guard:
            return
        for pid in (self._pid, self._guard):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._guard, 0)
        self._answers.close()
        self._status.close()
        self._guard = 0

    def close(self) -> None:
        """End the child for good."""
        self.kill()
        self._crash.close()

    def _is_guarded(self) -> bool:
        """Whether the guard lives: a child that has killed it may answer before it dies, too."""
        while (state := _state(self._guard)) in "RD":  # it sleeps, unless a signal wakes it
            time.sleep(_POLL)
        return state not in "ZX"

    def _ended(self) -> Ended:
        """Return how the child ended, once it has."""
        # It may have closed its end and still be running.
        how, was_full = "killed its parent process", False
        if wait([self._status], GRACE):
            with suppress(EOFError, OSError):
                code, held = _END.unpack(self._status.recv_bytes())
                how = _in_words(code)
                was_full = os.WIFSIGNALED(code) and held * 1024 > _FULL * self._memory > 0
        else:
            how = "closed its files"
        self.kill()
        return Ended(how, traceback=self._traceback(), was_full=was_full)

    def _traceback(self) -> str:
        self._crash.seek(0)
        text = self._crash.read().decode(errors="replace")
        self._crash.seek(0)
        self._crash.truncate()
        return text

    def _fork(self) -> None:
        self._answers, answers = multiprocessing.Pipe()
        self._status, status = multiprocessing.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()  # what torch has loaded stays; looking through it copies the child's memory
        self._guard = os.fork()
        if not self._guard:
            _end(lambda: self._watch(answers, status))
        answers.close()
        status.close()
        self._pid = self._guard
        with suppress(EOFError):  # it could not be forked
            _, self._pid = self._answers.recv()
        if self._started is not None:
            self._started(self._pid)

    def _watch(self, answers: Connection, status: Connection) -> None:
        """In the guard: start the child, wait for its end, and pass on how it ended."""
        import resource

        os.setsid()
        die_with_parent()
        self._answers.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        pid = os.fork()
        if not pid:
            _end(lambda: self._answer(answers))
        answers.close()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it has started, while its number is still taken
        _, code, used = os.wait4(pid, 0)
        inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status.send_bytes(_END.pack(code, used.ru_maxrss - inherited))

    def _answer(self, answers: Connection) -> None:
        """In the child: answer requests until there are no more."""
        os.setsid()
        die_with_parent()
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _keep_files(answers.fileno(), self._crash.fileno())
        if self._memory:
            import resource

            limit = _data_size() + self._memory
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        faulthandler.enable(self._crash, all_threads=False)
        gc.set_threshold(*_GARBAGE)
        me = os.getpid()
        answers.send((False, me))
        while True:
            try:
                request = answers.recv()
            except EOFError:
                return
            try:
                answer = self._serve(request, lambda word: answers.send((False, word)))
            except BaseException as error:  # whatever a target raises
                answer = Ended(f"raised {type(error).__name__}: {error}")
            if os.getpid() != me:  # the target forked, and this is its copy
                return
            answers.send((True, answer))


def _end(work: Callable[[], None]) -> None:
    """Do the work of a forked process, and end it without the cleaning up of the one it left."""
    try:
        work()
        os._exit(0)
    finally:
        os._exit(_CUT_OFF)


def _interrupt(number: int, frame: object) -> None:
    """Do what Python's own handler does, which a time limit would take for Ctrl-C."""
    raise KeyboardInterrupt


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends, where the system can do that."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


def _state(pid: int) -> str:
    """Return the letter of a process' state, as proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _data_size() -> int:
    """Return how many bytes of data this process holds, of which torch alone may take gigabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _keep_files(*numbers: int) -> None:
    """Close all files but these, and have the three standard ones lead nowhere."""
    with open(os.devnull, "r+b") as nowhere:
        for number in range(3):
            os.dup2(nowhere.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False)  # noqa: SIM115 - as long as the process
        for number, mode in enumerate("rww")
    )
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in numbers:
            with suppress(OSError):  # the list's own
                os.close(number)


def _in_words(status: int) -> str:
    """Return how a process ended, by its wait status."""
    if os.WIFSIGNALED(status):
        return f"died ({signal.Signals(os.WTERMSIG(status)).name})"
    if os.WEXITSTATUS(status) == _CUT_OFF:
        return "closed its files"
    return f"ended with status {os.WEXITSTATUS(status)}"


def call_apart(work: Callable[[], Any]) -> Any:
    """Return what a call returns in a forked process of its own, or an Ended if that died."""
    child = Child(lambda request, word: work())
    try:
        answer = child.ask(None)
        return answer if isinstance(answer, Ended) else child.stop() or answer
    finally:
        child.close()
