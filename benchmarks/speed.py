"""How fast a step and an unrolled sequence are, against the plain loop and against nn.GRU.

    python -m benchmarks.speed

Everything is timed in one run, in turns, so other load on the machine affects all of it. A ratio is
the median over rounds of the ratio within a round; below 1, StackingGRUCell is the faster one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.sharing import as_gru

BATCH, LAYERS = 32, 3
LENGTHS, WIDTHS = (1, 10, 100, 1000), (16, 128, 512)


class PlainLoop(nn.Module):
    """The loop that people write: one nn.GRUCell after another, dropout between, no checks."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.grus = nn.ModuleList([nn.GRUCell(input_size, hidden_size)])
        self.dropout = nn.Dropout(dropout)
        for _ in range(1, num_layers):
            self.grus.append(nn.GRUCell(hidden_size, hidden_size))

    def forward(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Make one step."""
        hn = []
        output = input
        for i, gru in enumerate(self.grus):
            hn_i = gru(output, h0[i])
            hn.append(hn_i)
            output = self.dropout(hn_i) if i != self.num_layers - 1 else hn_i
        return output, torch.stack(hn)


def seconds(work: Callable[[], object], times: int) -> float:
    """Return how long some work takes when done a number of times."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - started


def medians(works: Sequence[Callable[[], object]], rounds: int, budget: float) -> list[float]:
    """Return the median time of the first work, then the median of its ratio to each other one.

    They are timed in turns, in a number of rounds, each for about ``budget`` seconds.
    """
    for work in works:
        work()
    times = max(1, int(budget / max(seconds(works[0], 3) / 3, 1e-7)))
    ratios: list[list[float]] = [[] for _ in works[1:]]
    own = []
    for number in range(rounds):
        order = range(len(works)) if number % 2 else reversed(range(len(works)))
        taken = {index: seconds(works[index], times) / times for index in order}
        own.append(taken[0])
        for index, found in enumerate(ratios, 1):
            found.append(taken[0] / taken[index])
    return [statistics.median(own), *map(statistics.median, ratios)]


def steps(cell: nn.Module, x: Tensor, state: Tensor) -> Tensor:
    """Go over a sequence step by step."""
    outputs = []
    for one in x:
        output, state = cell(one, state)
        outputs.append(output)
    return torch.stack(outputs)


def one_step(width: int, rounds: int, budget: float) -> str:
    """Return the row of a width for one step."""
    cell = StackingGRUCell(width, width, LAYERS, 0.1).eval()
    plain = PlainLoop(width, width, LAYERS, 0.1).eval()
    plain.load_state_dict(cell.state_dict())
    gru = as_gru(cell)
    x, h0 = torch.randn(BATCH, width), torch.randn(LAYERS, BATCH, width)
    works = (lambda: cell(x, h0), lambda: plain(x, h0), lambda: gru(x[None], h0))
    own, to_plain, to_gru = medians(works, rounds, budget)
    return f"| {width} | {own * 1e6:.0f} us | {to_plain:.3f} | {to_gru:.2f} |"


def unrolled(width: int, length: int, rounds: int, budget: float) -> str:
    """Return the row of a width and a length for a whole sequence."""
    cell = StackingGRUCell(width, width, LAYERS, 0.1).eval()
    gru = as_gru(cell)
    x, h0 = torch.randn(length, BATCH, width), torch.randn(LAYERS, BATCH, width)
    own, to_gru = medians((lambda: cell.unroll(x, h0), lambda: gru(x, h0)), rounds, budget)
    both = (lambda: cell.unroll(x, h0), lambda: steps(cell, x, h0))
    _, to_steps = medians(both, 5, budget / 4)
    milliseconds = float(f"{own * 1e3:.3g}")
    return f"| {width} | {length} | {milliseconds:g} ms | {to_gru:.3f} | {to_steps:.2f} |"


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="number of timings of each")
    parser.add_argument("--budget", type=float, default=0.02, help="seconds per timing")
    given = parser.parse_args()
    how = given.rounds, given.budget
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        print(f"torch {torch.__version__}: {LAYERS} layers, {BATCH} rows, float32, one thread")
        print("\n| width | one step | / plain loop | / nn.GRU on (1, B, I) |\n|---|---|---|---|")
        for width in WIDTHS:
            print(one_step(width, *how), flush=True)
        print("\n| width | steps | unroll | / nn.GRU | / step loop |\n|---|---|---|---|---|")
        for width in WIDTHS:
            for length in LENGTHS:
                print(unrolled(width, length, *how), flush=True)


if __name__ == "__main__":
    main()
