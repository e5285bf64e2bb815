"""A whole sequence through a stack of cells, by the kernel that nn.GRU calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from stackgru.gru.validation import RefusedArgument, check_dtypes

if TYPE_CHECKING:
    from stackgru.gru.cell import StackingGRUCell


def unroll(
    cell: StackingGRUCell, input: Tensor | PackedSequence, h0: Tensor | None, batch_first: bool
) -> tuple[Any, Tensor]:
    """Do what StackingGRUCell.unroll says."""
    if isinstance(input, PackedSequence):
        return _packed(cell, input, h0)
    is_single = input.dim() == 2
    axis = 0 if batch_first else 1
    if is_single:
        input = input.unsqueeze(axis)
        h0 = h0.unsqueeze(1) if h0 is not None else None
    if input.dim() != 3 or input.shape[2] != cell.input_size or input.shape[1 - axis] == 0:
        names = "batch, steps" if batch_first else "steps, batch"
        raise RefusedArgument(
            f"input must have shape ({names}, input_size) = ({names}, {cell.input_size}) with "
            f"steps from 1, or (steps, {cell.input_size}), "
            f"got {tuple(input.squeeze(axis).shape if is_single else input.shape)}"
        )
    state, weights = _state(cell, input, h0, input.shape[axis], is_single), _weights(cell)
    outputs, hn = torch._VF.gru(input, state, weights, *_options(cell), batch_first)
    return (outputs.squeeze(axis), hn.squeeze(1)) if is_single else (outputs, hn)


def _packed(
    cell: StackingGRUCell, input: PackedSequence, h0: Tensor | None
) -> tuple[PackedSequence, Tensor]:
    """Go over packed sequences; the rows of h0 and hn are in the order before packing."""
    data, batch_sizes, order, back = input
    if data.dim() != 2 or data.shape[1] != cell.input_size:
        raise RefusedArgument(
            f"packed data must have shape (all steps, input_size) = (all steps, "
            f"{cell.input_size}), got {tuple(data.shape)}"
        )
    state = _state(cell, data, h0, int(batch_sizes[0]), is_single=False)
    if h0 is not None and order is not None:
        state = state.index_select(1, order)
    outputs, hn = torch._VF.gru(data, batch_sizes, state, _weights(cell), *_options(cell))
    if back is not None:
        hn = hn.index_select(1, back)
    return PackedSequence(outputs, batch_sizes, order, back), hn


def _state(
    cell: StackingGRUCell, input: Tensor, h0: Tensor | None, batch: int, is_single: bool
) -> Tensor:
    """Return the state that the sequence starts from, (L, B, H)."""
    shape = (cell.num_layers, batch, cell.hidden_size)
    if h0 is None:
        h0 = torch.zeros(shape, dtype=input.dtype, device=input.device)
    if h0.shape != shape:
        names = "num_layers, hidden_size" if is_single else "num_layers, batch, hidden_size"
        wanted, got = (shape[::2], h0.squeeze(1).shape) if is_single else (shape, h0.shape)
        raise RefusedArgument(f"h0 must have shape ({names}) = {wanted}, got {tuple(got)}")
    check_dtypes(input, h0, next(iter(cell.grus)).weight_ih.dtype)
    return h0


def _weights(cell: StackingGRUCell) -> list[Tensor]:
    """Return the cells' own parameters, in the order of nn.GRU's."""
    weights: list[Tensor] = []
    for gru in cell.grus:
        weights += (gru.weight_ih, gru.weight_hh)
        if gru.bias:
            weights += (gru.bias_ih, gru.bias_hh)
    return weights


def _options(cell: StackingGRUCell) -> tuple[bool, int, float, bool, bool]:
    """Return what the kernel is told: bias, layers, rate, whether it drops, one way only."""
    dropout, bias = cell.dropout, next(iter(cell.grus)).bias
    return bias, cell.num_layers, dropout.p, dropout.training, False
