"""What StackingGRUCell refuses, as nn.GRU does: sizes and options when built, then tensors."""

from __future__ import annotations

import math
import numbers

import torch
from torch import Tensor

from stackgru.options import StackgruError


class RefusedArgument(StackgruError, ValueError, RuntimeError):
    """An argument of a call that nn.GRU refuses as well.

    nn.GRU raises RuntimeError for some of these and ValueError for others, and has changed which
    between versions of torch; code that catches either catches this.
    """


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not integers, or below 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"{name} must be an int, got {size!r}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def check_options(dropout: float, bias: bool) -> None:
    """Refuse a dropout that is not a probability, and a bias that is not a bool."""
    is_number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not is_number or math.isnan(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a number in [0, 1], got {dropout!r}")
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be a bool, got {bias!r}")


def check_step(
    input: Tensor,
    h0: Tensor,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    dtype: torch.dtype,
) -> None:
    """Refuse an input (B, I) or (I,), or a state, of the wrong shape or dtype."""
    # One comparison of shapes and one of dtypes: every step pays for this check.
    shape = input.shape
    hn_shape = (num_layers, *shape[:-1], hidden_size)
    if len(shape) not in (1, 2) or shape[-1] != input_size:
        raise RefusedArgument(
            f"input must have shape (batch, input_size) = (batch, {input_size}) "
            f"or ({input_size},), got {tuple(shape)}"
        )
    if h0.shape != hn_shape:
        names = "num_layers, batch, hidden_size" if len(shape) == 2 else "num_layers, hidden_size"
        raise RefusedArgument(f"h0 must have shape ({names}) = {hn_shape}, got {tuple(h0.shape)}")
    check_dtypes(input, h0, dtype)


def check_dtypes(input: Tensor, h0: Tensor, dtype: torch.dtype) -> None:
    """Refuse an input or a state whose dtype is not that of the weights."""
    if not (input.dtype == h0.dtype == dtype or autocast(input.device.type)):
        name, wrong = ("input", input) if input.dtype != dtype else ("h0", h0)
        raise RefusedArgument(f"{name} must be {dtype} like the weights, got {wrong.dtype}")


def autocast(device_type: str) -> bool:
    """Whether autocast is enabled for a device type."""
    try:
        return torch.is_autocast_enabled(device_type)
    except TypeError:  # before torch 2.4 each device had a function of its own
        cpu: bool = torch.is_autocast_cpu_enabled()
        return cpu if device_type == "cpu" else torch.is_autocast_enabled()
