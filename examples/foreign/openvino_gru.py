"""OpenVINO's operation GRUSequence, on its CPU device.

    pip install openvino
    stackgru check examples/foreign/openvino_gru.py:OpenVino

OpenVINO stacks the gates as z, r, h; with linear_before_reset the reset gate is applied after the
product, as in torch, and there are four biases: one each of z and r, and both of h. The CPU device
computes in bfloat16, where it has instructions for that, unless it is asked for float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import openvino
from openvino import opset15 as ops

import stackgru

_ALONE = {"INFERENCE_NUM_THREADS": "1"}
_CORE = openvino.Core()


def _zrh(stacked: np.ndarray) -> list[np.ndarray]:
    r, z, n = np.split(stacked, 3)
    return [z, r, n]


def _stored(layer: dict[str, np.ndarray], hidden_size: int) -> list[np.ndarray]:
    """Return W, R and B of a layer as OpenVINO stores them."""
    weights = [np.concatenate(_zrh(layer[name])) for name in ("weight_ih", "weight_hh")]
    if "bias_ih" not in layer:
        return [*weights, np.zeros(4 * hidden_size, weights[0].dtype)]
    (z, r, n), (hz, hr, hn) = _zrh(layer["bias_ih"]), _zrh(layer["bias_hh"])
    return [*weights, np.concatenate([z + hz, r + hr, n, hn])]


class OpenVino(stackgru.Foreign):
    """openvino's GRUSequence, layer by layer; its rows come first, and its weights are inputs."""

    #: A model's request is one for all, and an empty batch ends the process.
    lacks = stackgru.Foreign.lacks | {"threads", "empty batches"}
    config: ClassVar[dict[str, str]] = {"INFERENCE_PRECISION_HINT": "f32", **_ALONE}

    @classmethod
    @lru_cache(maxsize=16)  # each has threads of its own
    def _compiled(cls, input_size: int, hidden_size: int, ways: int) -> Any:
        gates = 3 * hidden_size
        shapes = [[-1, -1, input_size], [-1, ways, hidden_size], [-1], [ways, gates, input_size]]
        shapes += [[ways, gates, hidden_size], [ways, 4 * hidden_size]]
        types = [np.float32, np.float32, np.int32, np.float32, np.float32, np.float32]
        given = [ops.parameter(*one) for one in zip(shapes, types, strict=True)]
        way = "bidirectional" if ways == 2 else "forward"
        node = ops.gru_sequence(*given, hidden_size, way, linear_before_reset=True)
        return _CORE.compile_model(openvino.Model(node.outputs(), given), "CPU", cls.config)

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        ways, below, last = 1 + self.bidirectional, input.swapaxes(0, 1), []
        rows, steps = below.shape[:2]
        for layer in range(0, len(weights), ways):
            run = self._compiled(below.shape[-1], self.hidden_size, ways)
            parts = [_stored(one, self.hidden_size) for one in weights[layer : layer + ways]]
            state = h0[layer : layer + ways].swapaxes(0, 1)
            lengths = np.full(rows, steps, np.int32)
            y, hn = run([below, state, lengths, *map(np.stack, zip(*parts, strict=True))]).values()
            below = y.swapaxes(1, 2).reshape(rows, steps, -1)
            last.append(hn.swapaxes(0, 1))
        return below.swapaxes(0, 1), np.concatenate(last)


class AsItComes(OpenVino):
    """The same as the CPU device computes if nothing is said: it may choose bfloat16."""

    config: ClassVar = _ALONE


class EmptyBatches(OpenVino):
    """The same, which is given empty batches: OpenVINO ends the process."""

    lacks = stackgru.Foreign.lacks | {"threads"}
