"""Checks that a converted checkpoint has the tensors and the results of the original.

Only digests and results of the original are kept, so that one of the two is in memory at a time.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.checkpoints.files import Checkpoint, Converted, state_at
from stackgru.checkpoints.state_dict import LayerKeys, To, stacks
from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import gru_name

_STEPS, _ROWS = 4, 3
_Layers = Sequence[Mapping[str, Tensor]]


class Differs(Exception):
    """A converted checkpoint does not compute what the original does."""


@dataclass(frozen=True)
class Original:
    """What a converted checkpoint is compared with.

    Attributes:
        digests: of each tensor of the state dict, by its new key.
        size: the number of entries.
        results: of each stack or GRU on random input, by its new name.
    """

    digests: Mapping[str, bytes]
    size: int
    results: Mapping[str, Sequence[Tensor]]


def original(
    old: Checkpoint, done: Converted, to: To, advance: Callable[[int], object] = bool
) -> Original:
    """Return what is kept of a checkpoint; ``advance`` hears of the bytes that were read."""
    state = state_at(old.content, done.key)
    digests = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            digests[done.names.get(key, key)] = _digest(value)
            advance(_size(value))
    results = {
        name: _results(_weights(state, one), is_gru=to == "cell")
        for name, one in done.found.items()
    }
    return Original(digests, len(state), results)


def assert_same(
    was: Original,
    new: Checkpoint,
    done: Converted,
    to: To,
    advance: Callable[[int], object] = bool,
) -> None:
    """Raise Differs unless a converted checkpoint, as read again, agrees with the original.

    All tensors must be equal, and so must the results on random input, bit by bit: stacks of
    cells run by ``unroll``, in the kernel of nn.GRU.
    """
    state = state_at(new.content, done.key)
    for key, digest in was.digests.items():
        value = state.get(key)
        if not isinstance(value, Tensor) or _digest(value) != digest:
            raise Differs(f"{key!r} differs")
        advance(_size(value))
    if was.size != len(state):
        raise Differs(f"it has {len(state)} entries instead of {was.size}")
    there = stacks(state, "cell" if to == "gru" else "gru")
    for name, one in done.found.items():
        found = _as_found(there, one, done.names)
        results = found and _results(_weights(state, found), is_gru=to == "gru")
        if not results or not all(map(same, results, was.results[name])):
            raise Differs(f"{name!r} gives different results on random input")


def _as_found(
    there: Sequence[LayerKeys], one: LayerKeys, names: Mapping[str, str]
) -> LayerKeys | None:
    """Return what was converted under the keys that are found in the new file.

    They are not derived from the names that they should have.
    """
    ways = []
    for way in (one.keys, one.back):
        if way:
            firsts = [names[keys["weight_ih"]] for keys in way]
            holders = [
                new
                for first in firsts
                for new in there
                if any(first in keys.values() for keys in new.every)
            ]
            if all(new.is_single for new in holders):  # in the order that they were named in
                holders = [replace(new, keys=[one.keys[0] for one in holders]) for new in holders]
            ways += holders[:1]
    if not ways:
        return None
    found = replace(ways[0], back=ways[1].keys) if one.back and ways[1] is not ways[0] else ways[0]
    wanted = {names[key] for keys in one.every for key in keys.values()}
    return found if wanted == {key for keys in found.every for key in keys.values()} else None


def _size(value: Tensor) -> int:
    return value.numel() * value.element_size()


def _digest(value: Tensor) -> bytes:
    """Return a digest of a tensor's numbers, shape and dtype, without a copy of them."""
    found = hashlib.sha256(f"{value.dtype} {tuple(value.shape)}".encode())
    plain = value.detach().cpu().contiguous()
    if plain.numel():
        found.update((ctypes.c_char * _size(plain)).from_address(plain.data_ptr()))
    return found.digest()


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, with NaN where the other has it."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _weights(state: Mapping[str, Any], one: LayerKeys) -> tuple[_Layers, _Layers]:
    """Return the weights of a stack's layers, forward and backward."""
    ahead, back = (
        [{name: state[key] for name, key in keys.items()} for keys in way]
        for way in (one.keys, one.back)
    )
    return ahead, back


def _results(ways: tuple[_Layers, _Layers], *, is_gru: bool) -> tuple[Tensor, Tensor]:
    """Return output and hn of a GRU, or of a stack of cells, on random input."""
    ahead, back = ways
    x, h0 = _random_input(ways)
    with torch.no_grad():
        if is_gru:
            found: tuple[Tensor, Tensor] = _gru(ahead, back)(x, h0)
            return found
        if not back:
            return _cells(ahead).unroll(x, h0)
        return _both_ways(ahead, back, x, h0)


def _random_input(ways: tuple[_Layers, _Layers]) -> tuple[Tensor, Tensor]:
    ahead, back = ways
    source = torch.Generator().manual_seed(0)
    first = ahead[0]["weight_ih"]
    x = torch.randn(_STEPS, _ROWS, first.shape[1], generator=source).to(first.dtype)
    states = (len(ahead) + len(back), _ROWS, first.shape[0] // 3)
    return x, torch.randn(states, generator=source).to(first.dtype)


def as_gru_and_cells(
    own: Mapping[str, Any], found: Mapping[str, Any], one: LayerKeys, names: Mapping[str, str]
) -> tuple[nn.GRU, Sequence[Tensor]]:
    """Return the nn.GRU of a state dict; and random input, h0, output and hn of cells.

    Args:
        own: the GRU's state dict.
        found: that of the cells that it became.
        one: its keys.
        names: theirs, by its own.
    """
    ways = _weights(own, one)
    new = (
        ({key: found[names[one]] for key, one in layer.items()} for layer in one.keys),
        ({key: found[names[one]] for key, one in layer.items()} for layer in one.back),
    )
    ahead, back = map(list, new)
    return _gru(*ways), (*_random_input(ways), *_results((ahead, back), is_gru=False))


def _both_ways(ahead: _Layers, back: _Layers, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """Run cells forward and backward, layer by layer."""
    last = []
    for index, (one, other) in enumerate(zip(ahead, back, strict=True)):
        own, its = h0[2 * index : 2 * index + 1], h0[2 * index + 1 : 2 * index + 2]
        outputs, hn = _cells([one]).unroll(x, own)
        backward, hn_back = _cells([other]).unroll(x.flip(0), its)
        x = torch.cat([outputs, backward.flip(0)], -1)
        last += [hn, hn_back]
    return x, torch.cat(last)


def _sizes(weights: _Layers) -> tuple[int, int, int]:
    first = weights[0]["weight_ih"]
    return first.shape[1], first.shape[0] // 3, len(weights)


def _cells(weights: _Layers) -> StackingGRUCell:
    stack = StackingGRUCell(*_sizes(weights), bias="bias_ih" in weights[0], device="meta")
    for cell, layer in zip(stack.grus, weights, strict=True):
        for name, value in layer.items():
            setattr(cell, name, nn.Parameter(value, requires_grad=False))
    return stack.eval()


def _gru(weights: _Layers, back: _Layers) -> nn.GRU:
    bias = "bias_ih" in weights[0]
    gru = nn.GRU(*_sizes(weights), bias=bias, bidirectional=bool(back), device="meta")
    for way, after in ((weights, ""), (back, "_reverse")):
        for index, layer in enumerate(way):
            for name, value in layer.items():
                parameter = nn.Parameter(value, requires_grad=False)
                setattr(gru, f"{gru_name(name, index)}{after}", parameter)
    return gru.eval()
