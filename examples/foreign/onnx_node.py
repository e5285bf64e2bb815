"""ONNX's operator GRU, run by onnxruntime and by ONNX' own reference evaluator.

    pip install onnx onnxruntime
    stackgru check examples/foreign/onnx_node.py:OnnxRuntime

ONNX stacks the gates as z, r, h, keeps both biases in one tensor, and has the reset gate either
before the product (its default) or, with linear_before_reset = 1, after it, as torch has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import stackgru

_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def zrh(stacked: np.ndarray) -> np.ndarray:
    """Return gates in the order r, z, n in ONNX' order."""
    r, z, n = np.split(stacked, 3)
    return np.concatenate([z, r, n])


def model(hidden_size: int, directions: int, dtype: str, **attributes: Any) -> onnx.ModelProto:
    """Return a graph of one GRU node, whose weights are inputs."""
    names, outputs = ["X", "W", "R", "B", "", "H"], ["Y", "Y_h"]
    way = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(
        "GRU", names, outputs, hidden_size=hidden_size, direction=way, **attributes
    )
    values = [helper.make_tensor_value_info(name, _TYPES[dtype], None) for name in names if name]
    results = [helper.make_tensor_value_info(name, _TYPES[dtype], None) for name in outputs]
    opsets = [helper.make_opsetid("", 21)]
    graph = helper.make_graph([node], "gru", values, results)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class OnnxRuntime(stackgru.Foreign):
    """onnxruntime's GRU, layer by layer."""

    attributes: ClassVar = {"linear_before_reset": 1}
    lacks = stackgru.Foreign.lacks | {"empty batches"}  # an empty batch ends the process

    @classmethod
    @lru_cache(maxsize=256)
    def _run(cls, hidden_size: int, directions: int, dtype: str) -> Any:
        made = model(hidden_size, directions, dtype, **cls.attributes).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(made, options, ["CPUExecutionProvider"]).run

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        ways, below, last = 1 + self.bidirectional, input, []
        run = self._run(self.hidden_size, ways, str(input.dtype))
        for layer in range(0, len(weights), ways):
            parts = [{k: zrh(v) for k, v in way.items()} for way in weights[layer : layer + ways]]
            if not self.bias:
                nothing = np.zeros(3 * self.hidden_size, input.dtype)
                parts = [{**part, "bias_ih": nothing, "bias_hh": nothing} for part in parts]
            biases = [np.concatenate([part["bias_ih"], part["bias_hh"]]) for part in parts]
            given = {"X": below, "B": np.stack(biases), "H": h0[layer : layer + ways]}
            given |= {"W": np.stack([part["weight_ih"] for part in parts])}
            given |= {"R": np.stack([part["weight_hh"] for part in parts])}
            y, y_h = run(None, given)
            below = y.transpose(0, 2, 1, 3).reshape(*y.shape[:1], y.shape[2], -1)
            last.append(y_h)
        return below, np.concatenate(last)


class LinearBeforeReset0(OnnxRuntime):
    """The same as exporters wrote it that left out linear_before_reset: not torch's equation."""

    attributes: ClassVar = {}


class EmptyBatches(OnnxRuntime):
    """The same, which is given empty batches: onnxruntime ends the process."""

    lacks = stackgru.Foreign.lacks


class Reference(OnnxRuntime):
    """ONNX' own evaluator of the operator, in NumPy."""

    dtypes = ("float32", "float64")
    lacks = stackgru.Foreign.lacks

    @classmethod
    @lru_cache(maxsize=256)
    def _run(cls, hidden_size: int, directions: int, dtype: str) -> Any:
        return ReferenceEvaluator(model(hidden_size, directions, dtype, **cls.attributes)).run
