"""StackingGRUCell: one time step through a stack of GRU cells.

The decoder cell of t2vec (Li et al., "Deep Representation Learning for Trajectory Similarity
Computation", ICDE 2018): a list of ``nn.GRUCell``, with dropout between the layers.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Optional

import torch
from torch import Tensor, nn


class RefusedArgument(ValueError, RuntimeError):
    """An argument of a call that nn.GRU refuses as well.

    nn.GRU raises RuntimeError for some of these and ValueError for others, and which one has
    changed between torch versions; code that catches either catches this.
    """


class _Layers(nn.ModuleList):
    """A ModuleList that prints one line a layer; recent torch folds equal ones ("2 x GRUCell")."""

    __repr__ = nn.Module.__repr__

    def _get_name(self) -> str:
        return "ModuleList"


class StackingGRUCell(nn.Module):
    """A stack of GRU cells that makes one time step; ``nn.GRU`` on a sequence of length one.

    Under one seed it gets the initial weights of ``nn.GRU``, and in training it draws the same
    dropout masks: ``num_layers - 1`` of shape (batch, hidden_size), between the layers only.

    Args:
        input_size: width I of the input, at least 1.
        hidden_size: width H of every layer's state, at least 1.
        num_layers: number L of layers, at least 1.
        dropout: probability, in [0, 1], of zeroing a value that goes up to the next layer.
        bias: whether the cells have ``bias_ih`` and ``bias_hh``.
        device: where the parameters are.
        dtype: what the parameters are.

    Raises:
        TypeError: if a size is not an int or ``bias`` not a bool.
        ValueError: if a size is below 1, or ``dropout`` is not a number in [0, 1].

    Shape:
        - input: (B, I), or (I,) for a single row
        - h0: (L, B, H), or (L, H) for a single row; zeros where it is left out
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
        _check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        _check_options(dropout, bias)
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
            RefusedArgument: if a rank, size or dtype does not fit; nn.GRU refuses it as well.
        """
        if h0 is None:
            shape = [self.num_layers] + list(input.shape[:-1]) + [self.hidden_size]
            h0 = torch.zeros(shape, dtype=input.dtype, device=input.device)
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            _check_forward(self, input, h0)
        # A cell's result inherits the strides of its state, and recent builds fill a mask in
        # memory order: without contiguous() a transposed h0 would get other masks than nn.GRU.
        states = h0.contiguous().unbind(0)
        dropout = self.dropout
        hn: list[Tensor] = []
        for layer, gru in enumerate(self.grus):
            if layer > 0:
                input = dropout(input)
            input = gru(input, states[layer])
            hn.append(input)
        return input, torch.stack(hn)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"{name} must be an int, got {size!r}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _check_options(dropout: float, bias: bool) -> None:
    is_number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not is_number or math.isnan(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a number in [0, 1], got {dropout!r}")
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be a bool, got {bias!r}")


def _check_forward(cell: StackingGRUCell, input: Tensor, h0: Tensor) -> None:
    # One comparison of shapes and one of dtypes: the check is a part of every step's time.
    shape = input.shape
    hn_shape = (cell.num_layers, *shape[:-1], cell.hidden_size)
    if len(shape) not in (1, 2) or shape[-1] != cell.input_size:
        raise RefusedArgument(
            f"input must have shape (batch, input_size) = (batch, {cell.input_size}) "
            f"or ({cell.input_size},), got {tuple(shape)}"
        )
    if h0.shape != hn_shape:
        names = "num_layers, batch, hidden_size" if len(shape) == 2 else "num_layers, hidden_size"
        raise RefusedArgument(f"h0 must have shape ({names}) = {hn_shape}, got {tuple(h0.shape)}")
    dtype = next(iter(cell.grus)).weight_ih.dtype
    if not (input.dtype == h0.dtype == dtype or _autocast(input.device.type)):
        name, wrong = ("input", input) if input.dtype != dtype else ("h0", h0)
        raise RefusedArgument(f"{name} must be {dtype} as the weights are, got {wrong.dtype}")


def _autocast(device_type: str) -> bool:
    try:
        return torch.is_autocast_enabled(device_type)
    except TypeError:  # before torch 2.4 each device had a function of its own
        cpu: bool = torch.is_autocast_cpu_enabled()
        return cpu if device_type == "cpu" else torch.is_autocast_enabled()
