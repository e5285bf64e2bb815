"""The law of refusals: arguments that nn.GRU refuses, of its constructor and of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.harness.judge import Called, Seen
from stackgru.laws.registry import law

#: Arguments that a constructor must refuse.
REFUSED_OPTIONS: tuple[dict[str, float], ...] = (
    {"dropout": -0.25},
    {"dropout": 1.25},
    {"num_layers": 0},
    {"hidden_size": 0},
    {"input_size": 0},
    {"hidden_size": -1},
)


def refuses(call: Callable[..., object], *arguments: Tensor, **options: Any) -> bool:
    """Whether a call raises."""
    try:
        call(*arguments, **options)
    except Exception:
        return True
    return False


def wrong_in_one_way(x: Tensor, h0: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield arguments that are wrong in one way: a description, x and h0."""
    other = torch.float32 if x.dtype == torch.float64 else torch.float64
    yield "an input that is too wide", torch.cat([x, x[..., :1]], -1), h0
    yield "an input that is too narrow", x[..., 1:], h0
    yield "an h0 that is too wide", x, torch.cat([h0, h0[..., :1]], -1)
    yield "an h0 that is too narrow", x, h0[..., 1:]
    yield "an h0 with one layer too many", x, torch.cat([h0, h0[:1]])
    yield "an h0 with one layer too few", x, h0[:-1]
    yield "an h0 with one row too many", x, torch.cat([h0, h0[:, :1]], 1)
    yield "an h0 with a single row for all", x, h0[:, :1].repeat(1, 1 + (x.shape[1] == 1), 1)
    yield "an input without a batch axis", x[:, 0], h0
    yield "an input with one axis too many", x.unsqueeze(1), h0
    yield "an h0 without a batch axis", x, h0[:, 0]
    yield "an h0 with one axis too many", x, h0.unsqueeze(1)
    yield f"an input of {other}", x.to(other), h0
    yield f"an h0 of {other}", x, h0.to(other)
    yield f"input and h0 of {other}", x.to(other), h0.to(other)
    yield "an input of integers", x.long(), h0
    yield "a sequence of no steps", x[:0], h0


@law("conduct", {"min_batch": 1, "max_steps": 3, "choices": ()}, question="conduct", strict=True)
def refusals(
    unchecked: Called,
    reference: Called,
    construct: Callable[..., object],
    x: Tensor,
    h0: Tensor,
    input_size: int,
    hidden_size: int,
    num_layers: int,
) -> Iterator[Seen]:
    """What nn.GRU refuses, the target refuses: wrong widths, depths, rows, axes and dtypes.

    Its constructor refuses dropout rates outside [0, 1] and sizes below one.
    """
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for options in REFUSED_OPTIONS:
        if refuses(nn.GRU, **{**sizes, **options}):
            ((name, value),) = options.items()
            is_taken = not refuses(construct, **options)
            yield f"the constructor accepts {name}={value}, which nn.GRU refuses", is_taken, False
    x = x[:1]  # one step, for a cell takes no more
    with torch.no_grad():
        for what, wrong, state in wrong_in_one_way(x, h0):
            if refuses(reference, wrong, state):
                is_taken = not refuses(unchecked, wrong, state)
                yield f"the target accepts {what}, which nn.GRU refuses", is_taken, False
