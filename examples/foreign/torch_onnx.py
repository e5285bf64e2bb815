"""nn.GRU as torch.onnx.export writes it, run by onnxruntime: is what was exported still nn.GRU?

    pip install onnx onnxruntime onnxscript
    stackgru check examples/foreign/torch_onnx.py:TorchScriptExporter
    stackgru check examples/foreign/torch_onnx.py:dynamo_exporter

A graph is exported once for each size. Its initializers are made inputs, so that the weights are
those of the moment.
"""

from __future__ import annotations

import io
import logging
import warnings
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import nn

import stackgru

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what else is not installed
_NAMES: dict[str, Any] = {"input_names": ["x", "h0"], "output_names": ["output", "hn"]}


def by_torchscript(gru: nn.GRU, x: torch.Tensor, h0: torch.Tensor) -> onnx.ModelProto:
    """Return a graph of the exporter that traces."""
    file, axes = io.BytesIO(), {"x": [0, 1], "h0": [1], "output": [0, 1], "hn": [1]}
    folding = {"do_constant_folding": False, "keep_initializers_as_inputs": True}
    how = {**_NAMES, **folding, "dynamic_axes": axes, "opset_version": 17}
    torch.onnx.export(gru, (x, h0), file, dynamo=False, **how)
    return onnx.load_from_string(file.getvalue())


def by_dynamo(gru: nn.GRU, x: torch.Tensor, h0: torch.Tensor) -> onnx.ModelProto:
    """Return a graph of the exporter that goes by torch.export."""
    axis = torch.export.Dim.AUTO
    axes = ({0: axis, 1: axis}, {1: axis})
    how = {**_NAMES, "dynamic_shapes": axes, "optimize": False, "verbose": False}
    made = torch.onnx.export(gru, (x, h0), dynamo=True, **how).model_proto
    for one in made.graph.initializer:
        made.graph.input.append(helper.make_tensor_value_info(one.name, one.data_type, one.dims))
    return made


class TorchScriptExporter(stackgru.Foreign):
    """nn.GRU, exported by the exporter that traces."""

    export: ClassVar[Any] = staticmethod(by_torchscript)
    patch: ClassVar[Any] = staticmethod(lambda model: None)
    lacks = stackgru.Foreign.lacks | {"empty batches"}

    @classmethod
    @lru_cache(maxsize=512)
    def _session(cls, *sizes: int, **options: bool) -> onnxruntime.InferenceSession:
        x = torch.zeros(5, 6, sizes[0])  # no sizes that torch.export would take for constants
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            gru = nn.GRU(*sizes, **options).eval()
            rows = 5 if gru.batch_first else 6
            h0 = torch.zeros(sizes[2] * (1 + gru.bidirectional), rows, sizes[1])
            model = cls.export(gru, x, h0)
        cls.patch(model)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers)

    def initializers(self):
        """Return the weights by their names in the graph."""
        return {name: one.detach().numpy() for name, one in self.named_parameters()}

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        options = {"bias": self.bias, "bidirectional": self.bidirectional}
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        session = self._session(*sizes, **options, batch_first=self.batch_first)
        x = input.swapaxes(0, 1) if self.batch_first else input
        output, hn = session.run(None, {"x": x, "h0": h0, **self.initializers()})
        return (output.swapaxes(0, 1) if self.batch_first else output), hn


class DynamoExporter(TorchScriptExporter):
    """nn.GRU, exported by the exporter that goes by torch.export."""

    export = staticmethod(by_dynamo)

    def __init__(self, input_size, hidden_size, num_layers=1, bidirectional=False, dtype=None):
        options = {"bidirectional": bidirectional, "dtype": dtype}
        super().__init__(input_size, hidden_size, num_layers, **options)


#: In one size, as each export takes seconds.
dynamo_exporter = stackgru.Convention(DynamoExporter, sizes={"input_size": 3, "hidden_size": 4})


def _nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "GRU"]


def _without_reset(model: onnx.ModelProto) -> None:
    for node in _nodes(model):
        next(one for one in node.attribute if one.name == "linear_before_reset").i = 0


class ResetBefore(TorchScriptExporter):
    """An exporter that forgets linear_before_reset."""

    patch = staticmethod(_without_reset)


class GatesSwapped(TorchScriptExporter):
    """An exporter that writes r and z in each other's place."""

    def initializers(self):
        """Return the weights by their names in the graph."""
        parts = {name: np.split(one, 3) for name, one in super().initializers().items()}
        return {name: np.concatenate([z, r, n]) for name, (r, z, n) in parts.items()}


class SecondBiasLost(TorchScriptExporter):
    """An exporter that leaves out bias_hh."""

    patch = staticmethod(
        lambda model: [_lose(model, node) for node in _nodes(model) if node.input[3]]
    )


def _lose(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Put zeros in the place of the second half of a node's biases."""
    name, where = node.input[3], [*model.graph.node].index(node)
    halves, nothing, joined = (f"{name}_{part}" for part in ("halves", "nothing", "joined"))
    made = [
        helper.make_node("Split", [name], [halves, f"{halves}_hh"], axis=1),
        helper.make_node("Sub", [f"{halves}_hh", f"{halves}_hh"], [nothing]),
        helper.make_node("Concat", [halves, nothing], [joined], axis=1),
    ]
    for place, one in enumerate(made):
        model.graph.node.insert(where + place, one)
    node.input[3] = joined


class HnReversed(TorchScriptExporter):
    """An exporter that gives the layers' last states in reverse."""

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        output, hn = super().evaluate(weights, input, h0)
        return output, hn[::-1].copy()
