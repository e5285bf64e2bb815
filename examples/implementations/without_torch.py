"""GRUs that other frameworks and runtimes evaluate: the recipes of examples/foreign/."""

from __future__ import annotations

import importlib

from examples.implementations.base import implementation
from stackgru import Convention

#: Each target of examples/foreign/, its distribution, and what is said of it.
_TARGETS = {
    "onnx_node.OnnxRuntime": ("onnxruntime", "ONNX' operator GRU, linear_before_reset = 1"),
    "onnx_node.Reference": ("onnx", "the same, by ONNX' reference evaluator"),
    "torch_onnx.TorchScriptExporter": ("onnxruntime", "nn.GRU as torch.onnx.export writes it"),
    "openvino_gru.OpenVino": ("openvino", "operation GRUSequence, linear_before_reset; in float32"),
    "paddle_gru.Paddle": ("paddlepaddle", "multilayer GRU, with torch's names"),
    "ncnn_gru.Ncnn": ("ncnn", "layer GRU"),
    "executorch_gru.portable": ("executorch", "nn.GRUCell lowered, its portable kernels"),
    "executorch_gru.xnnpack": ("executorch", "the same, XNNPACK"),
    "tvm_gru.compiled": ("apache-tvm", "nn.GRUCell compiled"),
    "mlx_gru.Mlx": ("mlx", "a gated recurrent unit layer"),
    "keras_gru.Keras": ("keras", "GRU layer, as cuDNN's; on torch"),
    "jax_cells.FlaxLinen": ("flax", "GRU cell"),
    "jax_cells.FlaxNnx": ("flax", "GRU cell"),
    "jax_cells.Equinox": ("equinox", "a single step of a gated recurrent unit"),
}


def _enter(name: str, distribution: str, says: str) -> None:
    module, _, attribute = name.partition(".")

    @implementation(name, distribution, says)
    def convention() -> Convention:
        found = getattr(importlib.import_module(f"examples.foreign.{module}"), attribute)
        return found if isinstance(found, Convention) else Convention(found)


for _name, (_distribution, _says) in _TARGETS.items():
    _enter(_name, _distribution, _says)
