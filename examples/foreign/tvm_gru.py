"""nn.GRUCell compiled by TVM for the CPU.

    pip install apache-tvm
    stackgru check examples/foreign/tvm_gru.py:compiled --max-examples 20

nn.GRU is unrolled: it is compiled for each length, for seconds. So what is compiled is one layer's
step, for any number of rows. Its weights are inputs, so that they are those of the moment.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import tvm
from torch import nn
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

import stackgru


class _Step(nn.Module):
    """nn.GRUCell, whose weights are inputs."""

    def forward(self, x: torch.Tensor, h: torch.Tensor, weights: list[torch.Tensor]) -> Any:
        return torch.gru_cell(x, h, *weights)


class Tvm(stackgru.Foreign):
    """nn.GRUCell by TVM, step by step and layer by layer."""

    lacks = stackgru.Foreign.lacks | {"threads"}

    @staticmethod
    @lru_cache(maxsize=64)
    def _step(input_size: int, hidden_size: int, bias: bool) -> Any:
        rows, gates = {0: torch.export.Dim("rows", min=1, max=1 << 17)}, 3 * hidden_size
        weights = [torch.zeros(gates, input_size), torch.zeros(gates, hidden_size)]
        weights += [torch.zeros(gates), torch.zeros(gates)] if bias else []
        given = (torch.zeros(6, input_size), torch.zeros(6, hidden_size), weights)
        shapes = (rows, rows, [{} for _ in weights])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(_Step(), given, dynamic_shapes=shapes)
            module = from_exported_program(exported)
        return relax.VirtualMachine(tvm.compile(module, target="llvm"), tvm.cpu())["main"]

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        below, last, ways = input, [], 1 + self.bidirectional
        for layer in range(0, len(weights), ways):
            outputs = []
            for way in range(ways):
                own = [tvm.runtime.tensor(one) for one in weights[layer + way].values()]
                step = self._step(below.shape[-1], self.hidden_size, self.bias)
                h, states = tvm.runtime.tensor(np.ascontiguousarray(h0[layer + way])), []
                for x in below[::-1] if way else below:
                    (h,) = step(tvm.runtime.tensor(np.ascontiguousarray(x)), h, *own)
                    states.append(h.numpy())
                outputs.append(np.stack(states[::-1] if way else states))
                last.append(states[-1])
            below = np.concatenate(outputs, -1)
        return below, np.stack(last)


#: In two sizes, as compiling takes seconds.
compiled = stackgru.Convention(Tvm, sizes={"input_size": (3, 4), "hidden_size": 4})
