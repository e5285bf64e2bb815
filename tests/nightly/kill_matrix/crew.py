"""Worker processes: one for each subject, so that no fault harms another."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from stackgru.options import Options
from tests.nightly.kill_matrix.results import Result
from tests.nightly.kill_matrix.worker import serve

#: Seconds beyond a law's time limit after which a worker is stuck where no alarm reaches it.
GRACE = 60.0

Done = TypeVar("Done")


class Stopped(Exception):
    """The whole run is interrupted."""


class Worker:
    """A process that runs laws on one subject; started when it is needed, and again if it dies."""

    def __init__(self, crew: Crew, spec: str, options: Options) -> None:
        self._crew = crew
        self._spec = spec
        self._options = options
        self._process: multiprocessing.Process | None = None

    def ask(self, law: str, seed: int) -> Result:
        """Return the result of one law for one seed.

        Raises:
            Stopped: if the crew was stopped meanwhile.
        """
        if self._process is None:
            self._start()
        limit = self._options.timeout + GRACE if self._options.timeout > 0 else None
        try:
            self._answers.send((law, seed))
            if self._answers.poll(limit):
                return self._answers.recv()
            status, message = "timed out", "its worker process was stuck and was ended"
        except (EOFError, OSError):
            self._process.join()
            status = "crashed"
            message = f"its worker process died with status {self._process.exitcode}"
        self.end()
        if self._crew.stopped.is_set():
            raise Stopped
        return {"status": status, "examples": 0, "message": message, "seconds": 0.0}

    def kill(self) -> None:
        """End the process from another thread; whoever waits for its answer is told."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
            self._answers.close()

    def _start(self) -> None:
        if self._crew.stopped.is_set():
            raise Stopped
        # A forked torch may hang in its thread pool.
        context = multiprocessing.get_context("spawn")
        self._answers, theirs = context.Pipe()
        arguments = (theirs, self._spec, self._options)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # or its end would go unnoticed


class Crew:
    """A number of jobs at a time, each with a worker of its own.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.stopped = threading.Event()
        self._workers: set[Worker] = set()

    @contextlib.contextmanager
    def worker(self, spec: str, options: Options) -> Iterator[Worker]:
        """Give a worker for one subject, and end it after."""
        worker = Worker(self, spec, options)
        self._workers.add(worker)
        try:
            yield worker
        finally:
            self._workers.discard(worker)
            worker.end()

    def run(self, jobs: Iterable[Callable[[], Done]]) -> Iterator[Done]:
        """Run all jobs and give what they return as it comes; stop all of them on the way out."""
        with ThreadPoolExecutor(self.size) as threads:
            futures = [threads.submit(job) for job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:
                self.stopped.set()
                threads.shutdown(wait=False, cancel_futures=True)
                for worker in list(self._workers):
                    worker.kill()
                raise
