"""The law of refusals: arguments that nn.GRU refuses, of its constructor and of a call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from stackgru.harness.pair import Pair
from stackgru.laws.registry import law
from stackgru.outcomes import Violated
from stackgru.targets.adapter import ConventionMismatch

#: Arguments that every target's constructor takes.
SIZES = frozenset({"input_size", "hidden_size"})
#: Arguments that a constructor must refuse.
REFUSED_OPTIONS: tuple[dict[str, float], ...] = (
    {"dropout": -0.25},
    {"dropout": 1.25},
    {"num_layers": 0},
    {"hidden_size": 0},
    {"input_size": 0},
    {"hidden_size": -1},
)


def _refused(pair: Pair) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield arguments that are wrong in one way: a description, input (T, B, I), and h0."""
    case, input, h0 = pair.case, pair.input, pair.h0
    wide, deep = torch.cat([input, input[..., :1]], -1), torch.cat([h0, h0[:1]])
    other = torch.float32 if case.dtype == "float64" else torch.float64
    yield "an input that is too wide", wide, h0
    yield "an input that is too narrow", input[..., 1:], h0
    yield "an h0 that is too wide", input, torch.cat([h0, h0[..., :1]], -1)
    yield "an h0 that is too narrow", input, h0[..., 1:]
    yield "an h0 with one layer too many", input, deep
    yield "an h0 with one layer too few", input, h0[:-1]
    yield "an h0 with one row too many", input, torch.cat([h0, h0[:, :1]], 1)
    yield "an h0 with a single row for all", input, h0[:, :1].repeat(1, 1 + (case.batch == 1), 1)
    yield "an input without a batch axis", input[:, 0], h0
    yield "an input with one axis too many", input.unsqueeze(1), h0
    yield "an h0 without a batch axis", input, h0[:, 0]
    yield "an h0 with one axis too many", input, h0.unsqueeze(1)
    yield f"an input of {other}", input.to(other), h0
    yield f"an h0 of {other}", input, h0.to(other)
    yield f"input and h0 of {other}", input.to(other), h0.to(other)
    yield "an input of integers", input.long(), h0
    if pair.kind == "sequence":
        yield "a sequence of no steps", input[:0], h0


@law("conduct", {"min_batch": 1, "max_steps": 3, "choices": ()}, question="conduct", strict=True)
def refusals(pair: Pair) -> None:
    """What nn.GRU refuses, the target refuses: wrong widths, depths, rows, axes and dtypes.

    Its constructor refuses dropout rates outside [0, 1] and sizes below one.
    """
    for options in REFUSED_OPTIONS:
        if builds(pair, nn.GRU, options) or not set(options) & (pair.target.accepts | SIZES):
            continue
        if builds(pair, pair.target.build, options):
            named_options = ", ".join(f"{name}={value}" for name, value in options.items())
            raise Violated(
                f"the target's constructor accepts {named_options}, which nn.GRU refuses"
            )
    for what, input, h0 in _refused(pair):
        if pair.kind == "cell":
            input = input[:1]
        if not _raises(pair.reference, input, h0):
            continue
        if not _raises(pair.module, input[0] if pair.kind == "cell" else input, h0):
            raise Violated(f"the target accepts {what}, which nn.GRU refuses")


def builds(pair: Pair, build: Callable[..., nn.Module], options: dict[str, float]) -> bool:
    """Whether nn.GRU or the target can be built for the case with these options."""
    case = pair.case
    sizes = {name: getattr(case, name) for name in ("input_size", "hidden_size", "num_layers")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            build(**sizes | options) if build is nn.GRU else build(case, **options)
        except Exception:
            return False
    return True


def _raises(module: nn.Module, *arguments: Tensor) -> bool:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            module(*arguments)
        except ConventionMismatch:  # it gave a result
            return False
        except Exception:
            return True
    return False
