"""nn.GRUCell lowered by ExecuTorch, run by its portable kernels and by XNNPACK.

    pip install executorch
    stackgru check examples/foreign/executorch_gru.py:portable --max-examples 20

nn.GRU is unrolled: it is lowered for each length, for seconds. So a program is one layer's step
here, for any number of rows. Its weights are inputs, so that they are those of the moment.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, ClassVar

import executorch.exir
import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.runtime import Runtime, Verification
from torch import nn

import stackgru

#: With the check, a program takes only as many rows as were exported (1.5.1, torch 2.13.0).
_UNCHECKED = executorch.exir.EdgeCompileConfig(_check_ir_validity=False)


class _Step(nn.Module):
    """nn.GRUCell, whose weights are inputs."""

    def forward(self, x: torch.Tensor, h: torch.Tensor, weights: list[torch.Tensor]) -> Any:
        return torch.gru_cell(x, h, *weights)


class Portable(stackgru.Foreign):
    """nn.GRUCell in ExecuTorch's portable kernels, step by step and layer by layer."""

    lacks = stackgru.Foreign.lacks | {"empty batches", "threads"}
    partitioner: ClassVar[list[Any]] = []

    @classmethod
    @lru_cache(maxsize=64)
    def _method(cls, input_size: int, hidden_size: int, bias: bool) -> Any:
        rows, gates = {0: torch.export.Dim("rows", min=1, max=1 << 17)}, 3 * hidden_size
        weights = [torch.zeros(gates, input_size), torch.zeros(gates, hidden_size)]
        weights += [torch.zeros(gates), torch.zeros(gates)] if bias else []
        given = (torch.zeros(6, input_size), torch.zeros(6, hidden_size), weights)
        shapes = (rows, rows, [{} for _ in weights])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(_Step(), given, dynamic_shapes=shapes)
            lowered = executorch.exir.to_edge_transform_and_lower(
                exported, partitioner=cls.partitioner, compile_config=_UNCHECKED
            )
            made = lowered.to_executorch().buffer
        program = Runtime.get().load_program(made, verification=Verification.Minimal)
        return program, program.load_method("forward")  # a method does not keep its program

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        below, last, ways = torch.from_numpy(input), [], 1 + self.bidirectional
        for layer in range(0, len(weights), ways):
            outputs = []
            for way in range(ways):
                own = [torch.from_numpy(one) for one in weights[layer + way].values()]
                _, method = self._method(below.shape[-1], self.hidden_size, self.bias)
                h, states = torch.from_numpy(h0[layer + way]), []
                for x in below.flip(0) if way else below:
                    h = method.execute([x.contiguous(), h, *own])[0].clone()
                    states.append(h)
                outputs.append(torch.stack(states[::-1] if way else states))
                last.append(h)
            below = torch.cat(outputs, -1)
        return below.numpy(), np.stack([one.numpy() for one in last])


class Xnnpack(Portable):
    """The same, with what XNNPACK takes given to it."""

    partitioner: ClassVar = [XnnpackPartitioner()]


_SIZES = {"input_size": (3, 4), "hidden_size": 4}
#: In two sizes, as lowering takes seconds.
portable = stackgru.Convention(Portable, sizes=_SIZES)
xnnpack = stackgru.Convention(Xnnpack, sizes=_SIZES)
