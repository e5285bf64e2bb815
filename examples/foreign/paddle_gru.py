"""PaddlePaddle's GRU, on its CPU.

    pip install paddlepaddle
    stackgru check examples/foreign/paddle_gru.py:Paddle

It names its weights, stacks its gates and has both biases as torch does; its documentation says so.
Its bias_ih_attr=False fails (3.3.1: IndexError, or SIGSEGV), so that biases are zero instead.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import paddle

import stackgru

paddle.set_device("cpu")


class Paddle(stackgru.Foreign):
    """paddle.nn.GRU, all layers at once, with biases of zero where there are none."""

    dtypes = ("float32", "float64")
    lacks = stackgru.Foreign.lacks | {"threads"}  # a module is used again with other weights

    @staticmethod
    @lru_cache(maxsize=64)
    def _module(sizes: tuple[int, int, int], way: str, dtype: str) -> Any:
        before = paddle.get_default_dtype()
        paddle.set_default_dtype(dtype)
        try:
            return paddle.nn.GRU(*sizes, direction=way, time_major=True).eval()
        finally:
            paddle.set_default_dtype(before)

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        way = "bidirect" if self.bidirectional else "forward"
        gru, own = self._module(sizes, way, str(input.dtype)), dict(self.named_parameters())
        for name, value in gru.named_parameters(include_sublayers=False):
            nothing = np.zeros(value.shape, input.dtype)
            value.set_value(own[name].detach().numpy() if name in own else nothing)
        with paddle.no_grad():
            results = gru(*(paddle.to_tensor(np.ascontiguousarray(one)) for one in (input, h0)))
        return tuple(one.numpy() for one in results)
