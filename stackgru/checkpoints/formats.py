"""How other frameworks store the weights of a GRU, as data, both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from stackgru.checkpoints.state_dict import ConversionError

_GATES = "rzn"
_Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """How a framework stores one layer of a GRU, in one direction.

    What an array holds is written as the blocks that are stacked in it, each of a gate of torch's:
    "ir" is the reset gate's of weight_ih or bias_ih, "hn" the candidate's of weight_hh or bias_hh.
    "ir+hr" is their sum, since a framework with one bias for both needs no more; " | " begins a new
    row.

    Attributes:
        name: the framework, and its class.
        weights: what each array of weights holds, (3 H, I) and (3 H, H).
        biases: what each array of biases holds.
        is_transposed: weights are (I, 3 H) and (H, 3 H).
    """

    name: str
    weights: Mapping[str, str]
    biases: Mapping[str, str]
    is_transposed: bool = False

    def stored(self, layer: _Layer) -> dict[str, Tensor]:
        """Return a layer of nn.GRU's as the framework stores it.

        Args:
            layer: weight_ih (3 H, I), weight_hh (3 H, H) and, unless there are none, bias_ih and
                bias_hh (3 H); tensors or NumPy arrays.

        Raises:
            ConversionError: if it has a bias for which there is no place.
        """
        weights = _blocks(layer, "weight")
        found = {name: _stacked(held, weights) for name, held in self.weights.items()}
        if self.is_transposed:
            found = {name: value.T.contiguous() for name, value in found.items()}
        if "bias_ih" in layer:
            biases = _blocks(layer, "bias")
            held = " ".join(self.biases.values())
            lost = [block for block, value in biases.items() if block not in held and value.any()]
            if lost:
                names = ", ".join(f"b_{block}" for block in lost)
                raise ConversionError(f"{self.name} has no {names}, which is not zero here")
            found |= {name: _stacked(held, biases) for name, held in self.biases.items()}
        return found

    def layer(self, stored: _Layer) -> dict[str, Tensor]:
        """Return what the framework stores as a layer of nn.GRU's; see stored.

        Of a sum all is in bias_ih; a bias for which there is no place is zero.
        """
        found = _torn(self.weights, stored, transposed=self.is_transposed)
        layer = {f"weight_{side}h": _of_side(found, side) for side in "ih"}
        if self.biases.keys() <= stored.keys():
            nothing = torch.zeros_like(found["hn"][:, 0])
            blocks = _torn(self.biases, stored)
            biases = {f"{side}{gate}": nothing for side in "ih" for gate in _GATES} | blocks
            layer |= {f"bias_{side}h": _of_side(biases, side) for side in "ih"}
        return layer

    def fits(self, stored: Mapping[str, Any]) -> bool:
        """Whether arrays have the names and the shapes of a layer in this format."""
        if not self.weights.keys() <= stored.keys():
            return False
        biases = {name: held for name, held in self.biases.items() if name in stored}
        if biases and biases.keys() != self.biases.keys():
            return False
        shapes = {name: tuple(value.shape) for name, value in stored.items()}
        ahead, back = (-1, 0) if self.is_transposed else (0, -1)
        if any(len(shapes[name]) != 2 for name in self.weights):
            return False
        sizes = {shapes[name][back] for name, held in self.weights.items() if held.startswith("h")}
        if len(sizes) != 1:
            return False
        (hidden,) = sizes
        gated = all(
            shapes[name][ahead] == hidden * len(held.split()) for name, held in self.weights.items()
        )
        return gated and all(shapes[name] == _shape(held, hidden) for name, held in biases.items())


def _blocks(layer: _Layer, what: str) -> dict[str, Tensor]:
    """Return the gates' blocks of both weights or biases, by name."""
    return {
        f"{side}{gate}": block
        for side in "ih"
        for gate, block in zip(
            _GATES, torch.as_tensor(layer[f"{what}_{side}h"]).chunk(3), strict=True
        )
    }


def _stacked(held: str, blocks: Mapping[str, Tensor]) -> Tensor:
    """Return the array that holds these blocks."""
    rows = [
        torch.cat([_summed(one.split("+"), blocks) for one in row.split()])
        for row in held.split(" | ")
    ]
    return rows[0] if len(rows) == 1 else torch.stack(rows)


def _summed(names: Sequence[str], blocks: Mapping[str, Tensor]) -> Tensor:
    return reduce(torch.add, [blocks[name] for name in names])


def _torn(
    arrays: Mapping[str, str], stored: _Layer, *, transposed: bool = False
) -> dict[str, Tensor]:
    """Return the blocks that arrays hold, by name; of a sum by its first."""
    found: dict[str, Tensor] = {}
    for name, held in arrays.items():
        value = torch.as_tensor(stored[name])
        value = value.T if transposed else value
        names = held.replace("| ", "").split()
        parts = value.reshape(-1, *value.shape[1 + ("|" in held) :]).chunk(len(names))
        found |= {block.partition("+")[0]: part for block, part in zip(names, parts, strict=True)}
    return found


def _of_side(blocks: Mapping[str, Tensor], side: str) -> Tensor:
    return torch.cat([blocks[f"{side}{gate}"] for gate in _GATES])


def _shape(held: str, hidden: int) -> tuple[int, ...]:
    """Return the shape of an array of biases that holds these blocks."""
    rows = held.split(" | ")
    width = hidden * len(rows[0].split())
    return (width,) if len(rows) == 1 else (len(rows), width)


_IN_ORDER = {"input": "ir iz in", "state": "hr hz hn"}
KERAS = Format(
    "Keras' GRU",
    {"kernel": "iz ir in", "recurrent_kernel": "hz hr hn"},
    {"bias": "iz ir in | hz hr hn"},
    is_transposed=True,
)
ONNX = Format(
    "ONNX' GRU",
    {"W": "iz ir in", "R": "hz hr hn"},
    {"B": "iz ir in hz hr hn"},
)
FLAX_LINEN = Format(
    "flax.linen.GRUCell",
    {f"{side}{gate}.kernel": f"{side}{gate}" for side in "ih" for gate in _GATES},
    {"ir.bias": "ir+hr", "iz.bias": "iz+hz", "in.bias": "in", "hn.bias": "hn"},
    is_transposed=True,
)
FLAX_NNX = Format(
    "flax.nnx.GRUCell",
    {"dense_i.kernel": "ir iz in", "dense_h.kernel": "hr hz hn"},
    {"dense_i.bias": "ir+hr iz+hz in"},
    is_transposed=True,
)
EQUINOX = Format(
    "equinox.nn.GRUCell",
    {"weight_ih": "ir iz in", "weight_hh": "hr hz hn"},
    {"bias": "ir+hr iz+hz in", "bias_n": "hn"},
)
MLX = Format(
    "mlx.nn.GRU",
    {"Wx": "ir iz in", "Wh": "hr hz hn"},
    {"b": "ir+hr iz+hz in", "bhn": "hn"},
)
#: Every format, by the name that it has on the command line.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "keras": KERAS,
        "onnx": ONNX,
        "flax-linen": FLAX_LINEN,
        "flax-nnx": FLAX_NNX,
        "equinox": EQUINOX,
        "mlx": MLX,
    }
)


def layers_in(arrays: Mapping[str, Any]) -> Iterator[tuple[str, Format, dict[str, str]]]:
    """Yield the GRU layers among arrays of a file: the name, the format, and the keys.

    Args:
        arrays: tensors or arrays, by names with dots.
    """
    for form in FORMATS.values():
        first = next(iter(form.weights))
        for key in arrays:
            before = key.removesuffix(first)
            if before == key or (before and not before.endswith(".")):
                continue
            names = (*form.weights, *form.biases)
            keys = {name: before + name for name in names if before + name in arrays}
            if form.fits({name: arrays[one] for name, one in keys.items()}):
                yield before.removesuffix("."), form, keys
