"""What a law's examples cost, against the bare torch work of the same cases.

    python -m benchmarks.overhead

For every law, the cases of one search are recorded and then timed in the same run: the whole
search with Hypothesis, the law alone, and the bare work that the law needs (both modules built,
the weights copied, each run once). Ratios are of medians over the repetitions. A life consists of
all actions in turn. Laws that count only with --strict are left out.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from hypothesis import given, seed, settings
from torch import nn

from stackgru.cases.case import ACTIONS, Case
from stackgru.cases.tensors import draw_h0, draw_input, draw_weights
from stackgru.engine.select import domain
from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import copy_layers, gru_layers
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law, all_laws
from stackgru.options import Options
from stackgru.targets.target import Target, load


def bare(case: Case) -> None:
    """Build both modules of a case, copy the weights, and run each once."""
    sizes = (case.input_size, case.hidden_size, case.num_layers)
    options = {"bias": case.bias, "dropout": case.dropout, "dtype": case.torch_dtype}
    cell, gru = StackingGRUCell(*sizes, **options), nn.GRU(*sizes, **options)
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
    """Return the number of a law's cases and the seconds of bare work, law and whole search."""
    cases: list[Case] = []
    examples = math.ceil(examples * law.share)
    search(law, target, examples, cases.append)

    def tried(case: Case) -> None:
        lived = replace(case, actions=",".join(ACTIONS)) if law.stateful else case
        law.check(Pair(target, lived))

    works = (
        lambda: [bare(case) for case in cases],
        lambda: [tried(case) for case in cases],
        lambda: search(law, target, examples, tried),
    )
    # The three take turns, so a slow moment of the machine affects all of them.
    rounds = [[timed(work) for work in works] for _ in range(repeat)]
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
    titles = "".join(f"{title:>10}" for title in ("bare ms", "law ms", "search ms", "law/bare"))
    print(f"{'law':<22}{'examples':>9}{titles}{'search/bare':>13}")
    totals = [0.0, 0.0, 0.0]
    for law in (law for law in all_laws().values() if not law.strict):
        target = cell if "cell" in law.kinds else gru
        number, seconds = measure(law, target, arguments.examples, arguments.repeat)
        totals = [total + part for total, part in zip(totals, seconds, strict=True)]
        print(row(law.name, number, seconds), flush=True)
    print(row("all", 0, totals))


def row(name: str, number: int, seconds: list[float]) -> str:
    """Return one line of the table."""
    base, alone, whole = seconds
    each = 1000 / number if number else 0.0
    figures = "".join(f"{value * each:>10.2f}" if each else f"{value:>9.1f}s" for value in seconds)
    return f"{name:<22}{number or '':>9}{figures}{alone / base:>10.1f}{whole / base:>13.1f}"


if __name__ == "__main__":
    main()
