"""MLX' GRU, on whatever device MLX has.

    pip install mlx  # mlx[cpu] on Linux
    stackgru check examples/foreign/mlx_gru.py:Mlx

The biases of r and z are one each; a layer gives all its states, and takes the first.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn
import numpy as np

import stackgru
from stackgru.checkpoints.formats import MLX


class Mlx(stackgru.Foreign):
    """mlx.nn.GRU, layer by layer; its rows come first."""

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        below, last = mx.array(input.swapaxes(0, 1)), []
        ways = 1 + self.bidirectional
        for layer in range(0, len(weights), ways):
            outputs = []
            for way in range(ways):
                gru = mlx.nn.GRU(below.shape[-1], self.hidden_size, self.bias)
                for name, value in MLX.stored(weights[layer + way]).items():
                    setattr(gru, name, mx.array(value.numpy()))
                x = below[:, ::-1] if way else below
                states = gru(x, mx.array(h0[layer + way]))
                last.append(np.array(states[:, -1]))
                outputs.append(states[:, ::-1] if way else states)
            below = mx.concatenate(outputs, axis=-1)
        return np.array(below).swapaxes(0, 1), np.stack(last)
