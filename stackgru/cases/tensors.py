"""The tensors of a case: drawn from its seed, or made of the numbers that it holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.gru.parameters import Layer, gru_name, parameter_shapes

#: A case of more numbers than this, not counting tensors of zeros, is shown by its seeds.
MOST_NUMBERS = 64


def draw_input(case: Case) -> Tensor:
    """Return the case's input, of shape (T, B, I)."""
    return draw_tensor(case, "input", (case.seq_len, case.batch, case.input_size))


def draw_h0(case: Case) -> Tensor:
    """Return the case's initial state, of shape (D L, B, H)."""
    return draw_tensor(case, "h0", case.state_shape)


def draw_weights(case: Case) -> list[Layer]:
    """Return the case's parameters, layer by layer.

    Rows have about unit norm, so the gates are neither linear nor saturated. Biases have the
    magnitude of the weights, but the usual one if the weights are zero.
    """
    sizes = (case.input_size, case.hidden_size, case.num_layers, case.bias, case.directions)
    return [
        {name: draw_tensor(case, f"{name} {layer}", shape) for name, shape in shapes.items()}
        for layer, shapes in enumerate(parameter_shapes(*sizes))
    ]


def draw_tensor(case: Case, name: str, shape: Sequence[int]) -> Tensor:
    """Return one of the case's tensors: a parameter, a bias if it has one axis, input or h0."""
    values = _finite(case, name, shape)
    number, where, place = case.place_not_finite
    kind, _, layer = name.partition(" ")
    if number and where == (gru_name(kind, int(layer), case.directions) if layer else name):
        values[place] = float(number)
    return values


def _finite(case: Case, name: str, shape: Sequence[int]) -> Tensor:
    """Return one of the case's tensors without what is put into it."""
    dtype = case.torch_dtype
    given = dict(case.numbers)
    if name in given:
        return torch.tensor(given[name], dtype=torch.float64).reshape(*shape).to(dtype)
    magnitude, usual = magnitude_of(case, name, shape)
    if magnitude == "zero":
        return torch.zeros(*shape, dtype=dtype)
    values = torch.randn(*shape, dtype=torch.float64, generator=generator(case, name))
    if magnitude == "subnormal":
        values = (values * 4).round()  # a few times the smallest number
    return (values * scale_of(dtype, magnitude, usual)).to(dtype)


def magnitude_of(case: Case, name: str, shape: Sequence[int]) -> tuple[str, float]:
    """Return the magnitude of the tensor ``name``, and the scale of its usual numbers."""
    if name == "h0" and case.h0 != "given":
        return "zero", 1.0
    if name in ("input", "h0"):
        return {"input": case.input, "h0": case.state}[name], 1.0
    is_bias = len(shape) == 1
    magnitude = "usual" if is_bias and case.weights == "zero" else case.weights
    return magnitude, 0.5 if is_bias else 1 / math.sqrt(shape[-1])


def generator(case: Case, name: str) -> torch.Generator:
    """Return a generator for ``name`` alone, seeded by the case's seed."""
    return torch.Generator().manual_seed(seed_of(case, name))


def seed_of(case: Case, name: str) -> int:
    """Return the seed of ``name``.

    It is hashed from the case's seed: torch.manual_seed(case.seed) belongs to the masks alone.
    """
    digest = hashlib.sha256(f"{case.seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def scale_of(dtype: torch.dtype, magnitude: str, usual: float) -> float:
    """Return what normally distributed numbers are multiplied by; whole ones for subnormal."""
    limits = torch.finfo(dtype)
    return {
        "usual": usual,
        "large": 64 * usual,
        "tiny": 16 * limits.tiny,
        "subnormal": limits.tiny * limits.eps,
    }[magnitude]


def tensors_of(case: Case) -> dict[str, Tensor]:
    """Return a case's tensors by name: "input", "h0", "weight_ih 0" (of layer 0) and so on."""
    tensors = {"input": draw_input(case), "h0": draw_h0(case)}
    for layer, weights in enumerate(draw_weights(case)):
        tensors |= {f"{name} {layer}": value for name, value in weights.items()}
    return tensors


def numbers_of(case: Case) -> dict[str, tuple[float, ...]]:
    """Return the numbers of a case's tensors, flat, by name."""
    return {
        name: tuple(value.double().flatten().tolist()) for name, value in tensors_of(case).items()
    }


def with_numbers(case: Case, numbers: Mapping[str, Sequence[float]]) -> Case:
    """Return a case with these numbers, by the names of numbers_of, instead of drawn ones."""
    given = ((name, tuple(map(float, flat))) for name, flat in numbers.items())
    return replace(case, numbers=tuple(given))


def is_literal(case: Case) -> bool:
    """Whether a case has few enough numbers, not counting tensors of zeros, to show them all."""
    counts = (value.numel() for value in tensors_of(case).values() if value.any())
    return sum(counts) <= MOST_NUMBERS
