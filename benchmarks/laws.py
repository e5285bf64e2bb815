"""What a law's examples cost, against the work of torch that they need.

    python -m benchmarks.laws

For every law, the cases of one search are recorded and then timed in the same run: the whole
search with Hypothesis; what the law asks of torch (its calls of both modules, repeated without
anything around them, and its backward passes, traces and compilations as they are made); the same
with the building of both modules, once each; and the bare work (both modules built, the weights
copied, each run once). Ratios are of medians over the repetitions. A life consists of all actions
in turn. Laws that count only with --strict are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from hypothesis import given, seed, settings
from torch import Tensor, nn

from stackgru.cases.case import ACTIONS, Case
from stackgru.cases.tensors import draw_h0, draw_input, draw_weights
from stackgru.engine.select import domain
from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import copy_layers, gru_layers
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law, all_laws
from stackgru.options import Options
from stackgru.targets.target import Target, load


def built(case: Case) -> tuple[StackingGRUCell, nn.GRU]:
    """Build both modules of a case."""
    sizes = (case.input_size, case.hidden_size, case.num_layers)
    options = {"bias": case.bias, "dropout": case.dropout, "dtype": case.torch_dtype}
    return StackingGRUCell(*sizes, **options), nn.GRU(*sizes, **options)


def bare(case: Case) -> None:
    """Build both modules of a case, copy the weights, and run each once."""
    cell, gru = built(case)
    weights = draw_weights(case)
    copy_layers(weights, [dict(part.named_parameters()) for part in cell.grus])
    copy_layers(weights, gru_layers(gru))
    input, h0 = draw_input(case), draw_h0(case)
    for module in (cell, gru):
        module.train(case.mode == "train")
    torch.manual_seed(case.seed)
    state = h0
    for x in input:
        _, state = cell(x, state)
    gru(input, h0)


class Asked:
    """What is asked of torch while it is entered: seconds, and calls that can be made again.

    Args:
        again: whether calls are recorded, to be made again, and nothing is timed.
    """

    _TIMED = (
        (torch.Tensor, "backward"),
        (torch.autograd, "grad"),
        (torch.autograd, "backward"),
        (torch.jit, "script"),
        (torch.jit, "trace"),
        (torch, "compile"),
        (torch, "vmap"),
    )

    def __init__(self, again: bool) -> None:
        self.seconds = 0.0
        self.calls: list[Callable[[], object]] = []
        self._again = again
        self._depth = 0
        self._own: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Asked:
        """Put functions of torch's that record or time in the place of its own."""
        late = importlib.import_module("torch.export")
        func = [(torch.func, name) for name in ("vmap", "jvp", "vjp", "jacrev", "grad")]
        for place, name in (*self._TIMED, *func, (late, "export"), (nn.Module, "__call__")):
            own = getattr(place, name)
            self._own.append((place, name, own))
            setattr(place, name, self._recorded(own) if place is nn.Module else self._timed(own))
        return self

    def __exit__(self, *error: object) -> None:
        """Put torch's own functions back."""
        for place, name, own in self._own:
            setattr(place, name, own)

    def _timed(self, own: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return own(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth and not self._again:
                    self.seconds += time.perf_counter() - started

        return call

    def _recorded(self, own: Any) -> Any:
        def call(module: nn.Module, *arguments: Any) -> Any:
            if self._again and not self._depth:
                copies = [
                    one.detach().clone() if isinstance(one, Tensor) else one for one in arguments
                ]
                enabled = torch.is_grad_enabled()
                self.calls.append(lambda: _call(own, module, copies, enabled))
            self._depth += 1
            try:
                return own(module, *arguments)
            finally:
                self._depth -= 1

        return call


def _call(own: Any, module: nn.Module, arguments: list[Any], enabled: bool) -> None:
    with torch.set_grad_enabled(enabled), contextlib.suppress(Exception):  # as the law may want
        own(module, *arguments)


def search(law: Law, target: Target, examples: int, visit: Callable[[Case], None]) -> None:
    """Run a function on the cases that Hypothesis draws for a law."""

    def body(case: Case) -> None:
        visit(case)

    given_cases = given(domain(law, target, Options()))(body)
    seed(0)(settings(max_examples=examples, database=None, deadline=None)(given_cases))()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(law: Law, target: Target, examples: int, repeat: int) -> tuple[int, list[float]]:
    """Return a law's number of cases; seconds of bare work, building, what is asked, the search."""
    cases: list[Case] = []
    examples = math.ceil(examples * law.share)
    search(law, target, examples, cases.append)

    def tried(case: Case) -> None:
        lived = replace(case, actions=",".join(ACTIONS)) if law.stateful else case
        law.check(Pair(target, lived))

    def asked() -> float:
        seconds = 0.0
        for case in cases:
            with Asked(again=True) as recorded:
                tried(case)
            seconds += timed(lambda: [one() for one in recorded.calls])
            with Asked(again=False) as measured:
                tried(case)
            seconds += measured.seconds
        return seconds

    works = (
        lambda: timed(lambda: [bare(case) for case in cases]),
        lambda: timed(lambda: [built(case) for case in cases]),
        asked,
        lambda: timed(lambda: search(law, target, examples, tried)),
    )
    # The three take turns, so a slow moment of the machine affects all of them.
    rounds = [[work() for work in works] for _ in range(repeat)]
    return len(cases), [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cell, gru = load("stackgru:StackingGRUCell"), load("torch.nn:GRU")
    titles = ("bare ms", "asked ms", "search ms", "search/bare", "search/asked", "with built")
    print(f"{'law':<22}{'examples':>9}", *(f"{title:>12}" for title in titles))
    totals, of_values = [0.0] * 4, []
    for law in (law for law in all_laws().values() if not law.strict):
        target = cell if "cell" in law.kinds else gru
        number, seconds = measure(law, target, arguments.examples, arguments.repeat)
        totals = [total + part for total, part in zip(totals, seconds, strict=True)]
        ratios = _ratios(seconds)
        if law.compares_values:
            of_values.append(ratios)
        print(row(law.name, number, seconds), flush=True)
    print(row("all", 0, totals))
    medians = [f"{statistics.median(column):.2f}" for column in zip(*of_values, strict=True)]
    print(f"median of the laws of values: {', '.join(medians)}")


def _ratios(seconds: list[float]) -> list[float]:
    """Return the search over bare work, over what is asked, and over that with the building."""
    base, building, asked, whole = seconds
    return [whole / base, whole / (asked or math.inf), whole / (asked + building)]


def row(name: str, number: int, seconds: list[float]) -> str:
    """Return one line of the table."""
    each = 1000 / number if number else 1.0
    base, _, asked, whole = seconds
    figures = " ".join(f"{value * each:>12.2f}" for value in (base, asked, whole))
    ratios = " ".join(f"{ratio:>12.1f}" for ratio in _ratios(seconds))
    return f"{name:<22}{number or 's':>9} {figures} {ratios}"


if __name__ == "__main__":
    main()
