"""StackingGRUCell: one time step through a stack of GRU cells.

The decoder cell of t2vec (Li et al., "Deep Representation Learning for Trajectory Similarity
Computation", ICDE 2018): a list of ``nn.GRUCell``, with dropout between the layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from stackgru.gru.parameters import PARAMETERS
from stackgru.gru.unroll import StackArguments, unroll
from stackgru.gru.validation import check_options, check_sizes, check_step


class _Layers(nn.ModuleList):
    """A ModuleList that prints one line per layer; recent torch folds equal ones (2 x GRUCell)."""

    __repr__ = nn.Module.__repr__

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[nn.GRUCell]: ...

    def _get_name(self) -> str:
        return "ModuleList"


class StackingGRUCell(nn.Module):
    """A stack of GRU cells that makes one time step; ``nn.GRU`` on a sequence of length one.

    From the same seed it gets ``nn.GRU``'s initial weights and, in training, draws the same
    dropout masks: ``num_layers - 1`` of shape (batch, hidden_size), between the layers only.

    Args:
        input_size: width I of the input, at least 1.
        hidden_size: width H of every layer's state, at least 1.
        num_layers: number L of layers, at least 1.
        dropout: probability, in [0, 1], of zeroing a value on its way to the next layer.
        bias: whether the cells have ``bias_ih`` and ``bias_hh``.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Raises:
        TypeError: if a size is not an int or ``bias`` not a bool.
        ValueError: if a size is below 1, or ``dropout`` is not a number in [0, 1].

    Shape:
        - input: (B, I), or (I,) for a single row
        - h0: (L, B, H), or (L, H) for a single row; zeros if omitted
        - output: (B, H), the last layer's new state
        - hn: (L, B, H), every layer's new state
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_options(dropout, bias)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.grus = _Layers(
            nn.GRUCell(size, hidden_size, bias, device=device, dtype=dtype)
            for size in [input_size] + [hidden_size] * (num_layers - 1)
        )
        self.dropout = nn.Dropout(dropout)

    # TorchScript of torch 1.13 reads Optional, not `| None`.
    def forward(self, input: Tensor, h0: Optional[Tensor] = None) -> tuple[Tensor, Tensor]:  # noqa: UP045
        """Make one step.

        Args:
            input: (B, I) or (I,).
            h0: (L, B, H) or (L, H); zeros if None.

        Returns:
            output (B, H) or (H,), and hn (L, B, H) or (L, H).

        Raises:
            RefusedArgument: if a rank, size or dtype is wrong; nn.GRU refuses it as well.
        """
        if h0 is None:
            shape = [self.num_layers] + list(input.shape[:-1]) + [self.hidden_size]
            h0 = torch.zeros(shape, dtype=input.dtype, device=input.device)
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            sizes = (self.input_size, self.hidden_size, self.num_layers)
            check_step(input, h0, *sizes, next(iter(self.grus)).weight_ih.dtype)
        # A cell's result inherits the strides of its state, and recent builds fill a mask in
        # memory order: without contiguous() a transposed h0 would get other masks than nn.GRU.
        states = h0.contiguous().unbind(0)
        dropout = self.dropout
        hn: list[Tensor] = []
        for layer, gru in enumerate(self.grus):
            if layer > 0 and dropout.training:  # in eval the call would only take time
                input = dropout(input)
            input = gru(input, states[layer])
            hn.append(input)
        return input, torch.stack(hn)

    def unroll(
        self, input: Tensor | PackedSequence, h0: Tensor | None = None, batch_first: bool = False
    ) -> tuple[Any, Tensor]:
        """Run a whole sequence through nn.GRU's own kernel, on the parameters of the cells.

        Output, hn, gradients and dropout masks are those of ``nn.GRU``. With dropout they differ
        from those of single steps: nn.GRU draws a layer's masks for all steps at once, and some
        builds draw the layers in another order.

        Args:
            input: (T, B, I), (T, I) for a single row, or a PackedSequence.
            h0: (L, B, H), or (L, H) for a single row; zeros if None.
            batch_first: whether input and output are (B, T, I) and (B, T, H).

        Returns:
            output (T, B, H) or (T, H), packed if the input is, and hn (L, B, H) or (L, H).

        Raises:
            RefusedArgument: if a rank, size or dtype is wrong; nn.GRU refuses it as well.
        """
        weights = [
            getattr(gru, name)
            for gru in self.grus
            for name in (PARAMETERS if gru.bias else PARAMETERS[:2])
        ]
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        stack = StackArguments(*sizes, weights, self.dropout.p, self.dropout.training)
        return unroll(stack, input, h0, batch_first)
