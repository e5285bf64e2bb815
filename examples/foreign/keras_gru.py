"""Keras' GRU on the backend that KERAS_BACKEND names: jax, torch or tensorflow.

    pip install keras
    KERAS_BACKEND=torch stackgru check examples/foreign/keras_gru.py:Keras

Keras stacks the gates as z, r, h, transposed; with reset_after, its default, the reset gate is
applied after the product, as in torch.
"""

from __future__ import annotations

import os
import random
from functools import lru_cache
from typing import Any, ClassVar

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

import stackgru
from stackgru.checkpoints.formats import KERAS


class Keras(stackgru.Foreign):
    """keras.layers.GRU, layer by layer; its rows come first."""

    lacks = stackgru.Foreign.lacks | {"threads"}  # a layer is used again with other weights
    said: ClassVar[dict[str, Any]] = {}

    @classmethod
    @lru_cache(maxsize=256)
    def layer(cls, input_size: int, hidden_size: int, bias: bool, dtype: str, back: bool) -> Any:
        """Return a layer of Keras', built; its seeds are none of the caller's random numbers."""
        before = random.getstate()
        made = keras.layers.GRU(
            hidden_size,
            use_bias=bias,
            return_sequences=True,
            return_state=True,
            go_backwards=back,
            dtype=dtype,
            **cls.said,
        )
        made.build((None, None, input_size))
        random.setstate(before)
        return made

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        below, last, ways = input.swapaxes(0, 1), [], 1 + self.bidirectional
        for layer in range(0, len(weights), ways):
            outputs = []
            for way in range(ways):
                stored = self.stored(weights[layer + way])
                sizes = (below.shape[-1], self.hidden_size, self.bias)
                own = self.layer(*sizes, str(input.dtype), way == 1)
                own.set_weights(stored)
                states, hn = own(below, initial_state=h0[layer + way])
                states = keras.ops.convert_to_numpy(states)
                outputs.append(states[:, ::-1] if way else states)
                last.append(keras.ops.convert_to_numpy(hn))
            below = np.concatenate(outputs, -1)
        return below.swapaxes(0, 1), np.stack(last)

    def stored(self, layer: Any) -> list[np.ndarray]:
        """Return a layer's weights as Keras stores them."""
        return [value.numpy() for value in KERAS.stored(layer).values()]


class ResetBefore(Keras):
    """The same with reset_after=False, the default of Keras 1 and 2.0: another equation."""

    said: ClassVar = {"reset_after": False}

    def stored(self, layer):
        """Return a layer's weights; there is one bias, which holds the sum of both."""
        found = super().stored(layer)
        return [*found[:2], *(bias.sum(0) for bias in found[2:])]
