"""Checks that a converted checkpoint has the tensors and the results of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.checkpoints.files import Checkpoint, Converted, state_at
from stackgru.checkpoints.state_dict import LayerKeys, To, stacks
from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import gru_name

_STEPS, _ROWS = 4, 3


class Differs(Exception):
    """A converted checkpoint does not compute what the original does."""


def assert_same(old: Checkpoint, new: Checkpoint, done: Converted, to: To) -> None:
    """Raise Differs unless a converted checkpoint, as read again, agrees with the original.

    All tensors must be equal, and so must the results on random input, bit by bit: stacks of
    cells run by ``unroll``, in the kernel of nn.GRU.
    """
    before, after = state_at(old.content, done.key), state_at(new.content, done.key)
    for key, value in before.items():
        other = after.get(done.names.get(key, key))
        if isinstance(value, Tensor) and not _same(value, other):
            raise Differs(f"{key!r} differs")
    if len(before) != len(after):
        raise Differs(f"it has {len(after)} entries instead of {len(before)}")
    # The keys are found in the new file, not derived from the names that they should have.
    there = stacks(after, "cell" if to == "gru" else "gru")
    for name, stack in done.found.items():
        wanted = {done.names[key] for keys in stack.keys for key in keys.values()}
        new_stack = next(
            (one for one in there if wanted == {key for keys in one.keys for key in keys.values()}),
            None,
        )
        if new_stack is None or not _gives_the_same(stack, before, new_stack, after, to):
            raise Differs(f"{name!r} gives different results on random input")


def _gives_the_same(
    old: LayerKeys, before: Mapping[str, Any], new: LayerKeys, after: Mapping[str, Any], to: To
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
    """Return an input and a state from a generator that is used for nothing else."""
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
