"""ncnn's layer GRU, on the CPU.

    pip install ncnn
    stackgru check examples/foreign/ncnn_gru.py:Ncnn

ncnn keeps the gates in torch's order, and four rows of biases: one each of r and z, and both of n.
A blob of weights in its file begins with a word of zeros, which says that they are float32.
"""

from __future__ import annotations

import tempfile
from typing import Any, ClassVar

import ncnn
import numpy as np

import stackgru

_PARAM = """7767517
3 4
Input x 0 1 x
Input h 0 1 h
GRU gru 2 2 x h y hn 0={hidden_size} 1={count} 2={way}
"""


def _biases(layer: dict[str, np.ndarray]) -> np.ndarray:
    if "bias_ih" not in layer:
        return np.zeros(4 * layer["weight_hh"].shape[1], np.float32)
    (r, z, n), (hr, hz, hn) = (np.split(layer[name], 3) for name in ("bias_ih", "bias_hh"))
    return np.concatenate([r + hr, z + hz, n, hn])


class Ncnn(stackgru.Foreign):
    """ncnn's GRU, layer by layer and row by row: it knows no batches."""

    lacks = stackgru.Foreign.lacks | {"empty batches"}
    options: ClassVar[dict[str, Any]] = {"num_threads": 1}

    def _net(self, layer: list[dict[str, np.ndarray]]) -> Any:
        """Return a network of one layer, which has one or two directions."""
        stored = [[one["weight_ih"] for one in layer], [_biases(one) for one in layer]]
        stored.append([one["weight_hh"] for one in layer])
        blobs = [np.concatenate([one.ravel() for one in part]) for part in stored]
        sizes = {"hidden_size": self.hidden_size, "count": blobs[0].size}
        net = ncnn.Net()
        for name, value in self.options.items():
            setattr(net.opt, name, value)
        net.load_param_mem(_PARAM.format(**sizes, way=2 if len(layer) == 2 else 0))
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(b"".join(bytes(4) + blob.tobytes() for blob in blobs))
            file.flush()
            net.load_model(file.name)
        return net

    def evaluate(self, weights, input, h0):
        """Return output and hn; see stackgru.Foreign."""
        ways, below, last = 1 + self.bidirectional, input, []
        for layer in range(0, len(weights), ways):
            net, results = self._net(weights[layer : layer + ways]), []
            for row in range(input.shape[1]):
                run = net.create_extractor()
                given = below[:, row], h0[layer : layer + ways, row]
                own = [np.ascontiguousarray(one) for one in given]  # kept: a Mat copies nothing
                for name, value in zip("xh", own, strict=True):
                    run.input(name, ncnn.Mat(value))
                results.append([np.array(run.extract(name)[1]) for name in ("y", "hn")])
            below, hn = (np.stack(one, 1) for one in zip(*results, strict=True))
            last.append(hn)
        return below, np.concatenate(last)
