"""Foreign: a GRU whose arithmetic runs elsewhere, in NumPy or in a runtime of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from stackgru.gru.parameters import PARAMETERS, gru_name
from stackgru.options import one_of
from stackgru.torch_settings import unseen

if TYPE_CHECKING:
    import numpy as np

#: What a runtime may lack, and what laws need of it.
ABILITIES = ("gradients", "transforms", "autocast", "empty batches", "threads")

#: NumPy has no bfloat16.
DTYPES = ("float64", "float32", "float16")


class OutsideTorch(NotImplementedError):
    """What is asked for cannot be done where a target is evaluated."""


class _Evaluated(torch.autograd.Function):
    """What has a graph, as nn.GRU's results have, but no gradients."""

    @staticmethod
    def forward(ctx: Any, run: Any, *given: Tensor) -> Any:
        return run(*given[:2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise OutsideTorch("there are no gradients")


class Foreign(nn.Module):
    """An implementation of nn.GRU that is evaluated outside torch, as a target.

    It is built and called as nn.GRU without dropout, and holds nn.GRU's parameters. A subclass has
    one method, evaluate; what it takes of nn.GRU's arguments is what its constructor takes.

    Laws of what ``lacks`` names are not applicable: never violated, and never passed. How far its
    sigmoid and tanh are off is measured, and counts as rounding up to 1e-6 in float32.

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: L.
        bias: whether there are biases.
        batch_first: whether input and output are (B, T, _).
        bidirectional: whether D is 2.
        device: where the parameters are.
        dtype: theirs.

    Attributes:
        lacks: what the runtime cannot do, of ABILITIES.
        dtypes: names of the dtypes that it computes in, of DTYPES.

    Raises:
        OutsideTorch: if a call asks for what cannot be done there: packed rows, another dtype.
    """

    lacks: ClassVar[frozenset[str]] = frozenset({"gradients", "transforms", "autocast"})
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for one in cls.lacks:
            one_of(f"what {cls.__name__} lacks", one, ABILITIES)
        for one in cls.dtypes:
            one_of(f"each of {cls.__name__}.dtypes", one, DTYPES)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        *,  # the next of nn.GRU's is dropout
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        own = nn.GRU(
            input_size,
            hidden_size,
            num_layers,
            bias,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        for name, value in own.named_parameters():
            self.register_parameter(name, value)

    def evaluate(
        self, weights: Sequence[Mapping[str, np.ndarray]], input: np.ndarray, h0: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return output (T, B, D H) and hn (D L, B, H), of one dtype with all that is given.

        Args:
            weights: weight_ih (3 H, I or D H), weight_hh (3 H, H) and, unless there are none,
                bias_ih and bias_hh (3 H), layer by layer, of each first the forward direction; the
                gates are in the order r, z, n.
            input: (T, B, I).
            h0: (D L, B, H).
        """
        raise NotImplementedError

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what evaluate gives, for (T, B, I), with batch_first (B, T, I), or (T, I)."""
        if isinstance(input, PackedSequence):
            raise OutsideTorch("packed rows are not evaluated")
        name = str(input.dtype).removeprefix("torch.")
        if name not in self.dtypes:
            raise OutsideTorch(f"it computes in {', '.join(self.dtypes)}, not in {name}")
        directions, alone = 1 + self.bidirectional, input.dim() == 2
        if input.shape[-1] != self.input_size:
            raise ValueError(f"input must be (..., {self.input_size}), got {tuple(input.shape)}")
        x = input[:, None] if alone else input.transpose(0, 1) if self.batch_first else input
        shape = (directions * self.num_layers, x.shape[1], self.hidden_size)
        state = x.new_zeros(shape) if h0 is None else h0[:, None] if alone else h0
        if state.shape != shape:
            raise ValueError(f"h0 must be {shape}, got {tuple(state.shape)}")
        if not x.shape[1] and "empty batches" in self.lacks:
            raise OutsideTorch("an empty batch is not evaluated")
        given = (self._evaluated, x, state, *self.parameters())
        results = _Evaluated.apply(*given)  # type: ignore[no-untyped-call]
        if alone:
            return results[0][:, 0], results[1][:, 0]
        return results[0].transpose(0, 1) if self.batch_first else results[0], results[1]

    def _evaluated(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Return what evaluate gives, as tensors that lie in memory as nn.GRU's do."""
        # What is built there is used again, and may be built by torch's own exporters.
        with torch.inference_mode(False), unseen():
            results = self.evaluate(self._weights(), _array(input), _array(h0))
        if not isinstance(results, (tuple, list)) or len(results) != 2:
            what = type(results).__name__
            got = f"{what} of {len(results)}" if isinstance(results, (tuple, list)) else what
            raise TypeError(f"evaluate must return output and hn, got a {got}")
        import numpy as np

        # A copy: what is given may be another's memory, or lie backward in it.
        output, hn = (torch.from_numpy(np.array(one, order="C")).to(input) for one in results)
        return output, hn

    def _weights(self) -> list[dict[str, np.ndarray]]:
        """Return the parameters as they are now, layer by layer."""
        directions, names = 1 + self.bidirectional, PARAMETERS if self.bias else PARAMETERS[:2]
        return [
            {name: _array(getattr(self, gru_name(name, index, directions))) for name in names}
            for index in range(directions * self.num_layers)
        ]


def _array(value: Tensor) -> np.ndarray:
    """Return a copy: what is done to it is not done to the caller's."""
    return value.detach().cpu().contiguous().numpy().copy()
