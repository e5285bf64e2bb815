"""A converted checkpoint against the one that it was made from: same tensors, same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.checkpoints.files import Checkpoint, Converted, state_at
from stackgru.checkpoints.state_dict import Stack, To, stacks
from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import gru_name

_STEPS, _ROWS = 4, 3


class Differs(Exception):
    """A converted checkpoint does not compute what it was made from does."""


def assert_same(old: Checkpoint, new: Checkpoint, done: Converted, to: To) -> None:
    """Compare what was read from both files: every tensor, and what the stacks give.

    Each stack of cells goes over random input by ``unroll``, each GRU by itself; both call one
    kernel, so that the results must be equal bit by bit.

    Args:
        old: what was converted.
        new: what was written, and read again.
        done: what was renamed.
        to: what it was converted to.

    Raises:
        Differs: if anything is not the same.
    """
    before, after = state_at(old.content, done.key), state_at(new.content, done.key)
    for key, value in before.items():
        other = after.get(done.names.get(key, key))
        if isinstance(value, Tensor) and not _same(value, other):
            raise Differs(f"{key!r} is not the same")
    if len(before) != len(after):
        raise Differs(f"it has {len(after)} entries instead of {len(before)}")
    # What is in the new file is found there, not taken from the names that it should have got.
    there = stacks(after, "cell" if to == "gru" else "gru")
    for name, stack in done.found.items():
        wanted = {done.names[key] for keys in stack.keys for key in keys.values()}
        new_stack = next(
            (one for one in there if wanted == {key for keys in one.keys for key in keys.values()}),
            None,
        )
        if new_stack is None or not _gives_the_same(stack, before, new_stack, after, to):
            raise Differs(f"{name!r} does not give the same on random input")


def _gives_the_same(
    old: Stack, before: Mapping[str, Any], new: Stack, after: Mapping[str, Any], to: To
) -> bool:
    weights, others = (
        [{name: state[key] for name, key in keys.items()} for keys in one.keys]
        for one, state in ((old, before), (new, after))
    )
    cells, gru = (weights, others) if to == "gru" else (others, weights)
    x, h0 = _random(weights)
    found, right = _cells(cells).unroll(x, h0), _gru(gru)(x, h0)
    return all(_same(one, other) for one, other in zip(found, right, strict=True))


def _same(one: Tensor, other: Any) -> bool:
    if not isinstance(other, Tensor) or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _random(weights: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return an input and a state from a generator of their own."""
    source = torch.Generator().manual_seed(0)
    first = weights[0]["weight_ih"]
    x = torch.randn(_STEPS, _ROWS, first.shape[1], generator=source)
    h0 = torch.randn(len(weights), _ROWS, first.shape[0] // 3, generator=source)
    return x.to(first.dtype), h0.to(first.dtype)


def _sizes(weights: Sequence[Mapping[str, Tensor]]) -> tuple[int, int, int]:
    first = weights[0]["weight_ih"]
    return first.shape[1], first.shape[0] // 3, len(weights)


def _cells(weights: Sequence[Mapping[str, Tensor]]) -> StackingGRUCell:
    stack = StackingGRUCell(*_sizes(weights), bias="bias_ih" in weights[0], device="meta")
    for cell, layer in zip(stack.grus, weights, strict=True):
        for name, value in layer.items():
            setattr(cell, name, nn.Parameter(value, requires_grad=False))
    return stack.eval()


def _gru(weights: Sequence[Mapping[str, Tensor]]) -> nn.GRU:
    gru = nn.GRU(*_sizes(weights), bias="bias_ih" in weights[0], device="meta")
    for index, layer in enumerate(weights):
        for name, value in layer.items():
            setattr(gru, gru_name(name, index), nn.Parameter(value, requires_grad=False))
    return gru.eval()
