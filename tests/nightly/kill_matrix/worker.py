"""What runs in a worker process: one law, or one thing a user would write, on one subject."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest
import torch
from hypothesis import settings

from stackgru.engine.run import LawRun
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.importing import describe_error
from stackgru.targets.target import Target, load
from tests.nightly.kill_matrix.results import METHODS, SEED_EXAMPLE, Result
from tests.subjects import plain_test, seed_example

#: How to read and to write what a fault may change for all that runs after it in its process.
_FLAGS = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
)


def serve(asked: Connection, spec: str, options: Options) -> None:
    """Answer each (law, seed) that is asked for with its result, until nothing more is asked.

    Args:
        asked: where questions come from and answers go.
        spec: names the subject.
        options: of every run, but for the seed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is asked, and hangs up
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    settings.register_profile("matrix", database=None)
    settings.load_profile("matrix")
    with open(os.devnull, "w") as nowhere:
        sys.stdout = nowhere  # a subject may print
        while True:
            try:
                law, seed = asked.recv()
            except EOFError:
                return
            with _flags_restored():
                asked.send(_run(spec, law, seed, options))


def _run(spec: str, law: str, seed: int, options: Options) -> Result:
    started = time.perf_counter()
    try:
        target = load(spec)
        if law in METHODS:
            result = _method(law, target, seed, options)
        else:
            result = _law(law, target, seed, options)
    except BaseException as error:  # a subject may raise anything
        result = {"status": "crashed", "examples": 0, "message": describe_error(error)}
    return {**result, "seconds": round(time.perf_counter() - started, 3)}


def _law(law: str, target: Target, seed: int, options: Options) -> Result:
    run = LawRun(target, all_laws()[law], replace(options, seed=seed))
    crash = None
    try:
        run.run()
    except (Violated, pytest.skip.Exception, pytest.fail.Exception):
        pass
    except Exception as error:
        crash = describe_error(error)
    if run.result is None:
        return {"status": "crashed", "examples": 0, "message": crash}
    result = {
        "status": run.result.status,
        "examples": run.result.examples,
        "ratio": round(run.result.ratio, 3),
    }
    found = run.result.violation
    if found:
        return {**result, "case": found.case, "message": found.message}
    return {**result, "message": crash or run.result.reason}


def _method(method: str, target: Target, seed: int, options: Options) -> Result:
    """Run what a user would write; a subject that raises fails it, as it would for the user."""
    sequence = target.kind == "sequence"
    if method == SEED_EXAMPLE:
        try:
            fails = not seed_example.accepts(target.factory, sequence=sequence)
        except Exception:
            fails = True
        return {"status": "violated" if fails else "holds", "examples": 1}
    budget = min(options.max_examples or plain_test.EXAMPLES, plain_test.EXAMPLES)
    failed_after = plain_test.examples_to_difference(
        target.factory, sequence=sequence, seed=seed, max_examples=budget
    )
    if failed_after is None:
        return {"status": "holds", "examples": budget}
    return {"status": "violated", "examples": failed_after}


@contextmanager
def _flags_restored() -> Iterator[None]:
    before = [read() for read, _ in _FLAGS]
    states = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # has no reader; this is how torch starts
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        for value, (read, write) in zip(before, _FLAGS, strict=True):
            if read() != value:  # some writers import half of torch
                write(value)
