"""GRU cells of flax and Equinox, stacked and run step by step.

    pip install flax equinox
    stackgru check examples/foreign/jax_cells.py:FlaxLinen

How each stores its weights is in stackgru.checkpoints.formats.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import equinox
import flax.linen
import flax.nnx
import jax
import numpy as np

import stackgru
from stackgru.checkpoints.formats import EQUINOX, FLAX_LINEN, FLAX_NNX

jax.config.update("jax_enable_x64", True)
_KEY = jax.random.key(0)


class FlaxLinen(stackgru.Foreign):
    """flax.linen.GRUCell: the biases of r and z are one each."""

    dtypes = ("float32", "float64")

    def __init__(self, input_size, hidden_size, num_layers=1, batch_first=False):
        super().__init__(input_size, hidden_size, num_layers, batch_first=batch_first)

    def step(self, layer: dict[str, Any]) -> Any:
        """Return what computes a layer's new state from a state and an input."""
        tree: dict[str, Any] = {}
        for name, value in FLAX_LINEN.stored(layer).items():
            part, _, kind = name.partition(".")
            tree.setdefault(part, {})[kind] = value.numpy()
        return lambda h, x: _linen(self.hidden_size)({"params": tree}, h, x)

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        last = []
        for layer, h in zip(weights, h0, strict=True):
            step, outputs = self.step(layer), []
            for x in input:
                h = step(h, x)
                outputs.append(h)
            input = np.stack(outputs)
            last.append(h)
        return input, np.stack(last)


@lru_cache
def _linen(hidden_size: int) -> Any:
    apply = flax.linen.GRUCell(hidden_size).apply
    return jax.jit(lambda *given: apply(*given)[0])


class FlaxNnx(FlaxLinen):
    """flax.nnx.GRUCell as it is: it has no place for b_hn, which is lost."""

    lacks = stackgru.Foreign.lacks | {"threads"}  # a cell is used again with other weights

    def step(self, layer):
        """Return what computes a layer's new state from a state and an input."""
        size = self.hidden_size
        without = layer["bias_hh"].copy()
        without[2 * size :] = 0
        stored = FLAX_NNX.stored({**layer, "bias_hh": without})
        cell = _nnx(layer["weight_ih"].shape[1], size, str(without.dtype))
        for name, value in stored.items():
            part, _, kind = name.partition(".")
            getattr(getattr(cell, part), kind)[...] = value.numpy()
        return lambda h, x: _new_state(cell, h, x)


@flax.nnx.jit
def _new_state(cell: Any, h: Any, x: Any) -> Any:
    return cell(h, x)[0]


@lru_cache
def _nnx(input_size: int, hidden_size: int, dtype: str) -> Any:
    rngs = flax.nnx.Rngs(0)
    return flax.nnx.GRUCell(input_size, hidden_size, param_dtype=dtype, rngs=rngs)


class Equinox(FlaxLinen):
    """equinox.nn.GRUCell: the biases of r and z are one each."""

    def step(self, layer):
        """Return what computes a layer's new state from a state and an input."""
        cell = equinox.nn.GRUCell(layer["weight_ih"].shape[1], self.hidden_size, key=_KEY)
        parts = {name: value.numpy() for name, value in EQUINOX.stored(layer).items()}
        cell = equinox.tree_at(
            lambda one: [getattr(one, name) for name in parts], cell, [*parts.values()]
        )
        return lambda h, x: _rows(cell, x, h)


@equinox.filter_jit
def _rows(cell: Any, x: Any, h: Any) -> Any:
    return jax.vmap(cell)(x, h)
