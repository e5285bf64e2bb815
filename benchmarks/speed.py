"""How fast a step and an unrolled sequence are, against the plain loop and against nn.GRU.

    python -m benchmarks.speed

Everything is timed in one run, in turn, so that what else the machine does hits all alike. A ratio
is the median over rounds of the ratio within a round; below 1 StackingGRUCell is the faster one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stackgru.cell import StackingGRUCell
from stackgru.swapping import as_gru

BATCH, LAYERS = 32, 3
LENGTHS, WIDTHS = (1, 10, 100, 1000), (16, 128, 512)


class PlainLoop(nn.Module):
    """The loop that people write: one nn.GRUCell after the other, dropout between, no checks."""

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
    """Return how long it takes to do some work a number of times."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - started


def medians(works: Sequence[Callable[[], object]], rounds: int, budget: float) -> list[float]:
    """Time works in turn.

    Args:
        works: the first is what the others are compared with.
        rounds: how often each is timed.
        budget: about how many seconds one work's timing may take.

    Returns:
        The median time of the first, in seconds, then the medians of its ratio to each other one.
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


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41, help="how often each is timed")
    parser.add_argument("--budget", type=float, default=0.02, help="seconds of one timing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        print(
            f"torch {torch.__version__}, {LAYERS} layers, {BATCH} rows, float32, eval, one thread"
        )
        print("\n| width | one step | / plain loop | / nn.GRU on (1, B, I) |\n|---|---|---|---|")
        for width in WIDTHS:
            cell, plain = (one(width, width, LAYERS, 0.1).eval() for one in _BOTH)
            plain.load_state_dict(cell.state_dict())
            gru = as_gru(cell)
            x, h0 = torch.randn(BATCH, width), torch.randn(LAYERS, BATCH, width)
            works = (
                lambda c=cell, x=x, h=h0: c(x, h),
                lambda c=plain, x=x, h=h0: c(x, h),
                lambda c=gru, x=x[None], h=h0: c(x, h),
            )
            own, *ratios = medians(works, given.rounds, given.budget)
            print(
                f"| {width} | {own * 1e6:.0f} us | {ratios[0]:.3f} | {ratios[1]:.2f} |", flush=True
            )
        print("\n| width | steps | unroll | / nn.GRU | / step loop |\n|---|---|---|---|---|")
        for width in WIDTHS:
            cell = StackingGRUCell(width, width, LAYERS, 0.1).eval()
            gru = as_gru(cell)
            for length in LENGTHS:
                x, h0 = torch.randn(length, BATCH, width), torch.randn(LAYERS, BATCH, width)
                works = (
                    lambda c=cell.unroll, x=x, h=h0: c(x, h),
                    lambda c=gru, x=x, h=h0: c(x, h),
                )
                own, ratio = medians(works, given.rounds, given.budget)
                loop = (works[0], lambda c=cell, x=x, h=h0: steps(c, x, h))
                _, by_steps = medians(loop, 5, given.budget / 4)
                line = f"| {width} | {length} | {own * 1e3:.3g} ms | {ratio:.3f} | {by_steps:.2f} |"
                print(line, flush=True)


_BOTH = (StackingGRUCell, PlainLoop)


if __name__ == "__main__":
    main()
