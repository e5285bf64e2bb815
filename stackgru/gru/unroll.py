"""Running a stack of cells over a whole sequence, with the kernel that nn.GRU calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from stackgru.gru.validation import RefusedArgument, check_dtypes


class StackArguments(NamedTuple):
    """A stack of cells as the kernel takes it; the weights are in nn.GRU's order."""

    input_size: int
    hidden_size: int
    num_layers: int
    weights: list[Tensor]
    dropout: float
    training: bool

    @property
    def options(self) -> tuple[bool, int, float, bool, bool]:
        """The kernel's arguments has_biases, num_layers, dropout, train and bidirectional."""
        has_biases = len(self.weights) == 4 * self.num_layers
        return has_biases, self.num_layers, self.dropout, self.training, False


def unroll(
    stack: StackArguments, input: Tensor | PackedSequence, h0: Tensor | None, batch_first: bool
) -> tuple[Any, Tensor]:
    """Run a stack over a whole sequence; see StackingGRUCell.unroll."""
    if isinstance(input, PackedSequence):
        return _packed(stack, input, h0)
    is_single = input.dim() == 2
    axis = 0 if batch_first else 1
    if is_single:
        input = input.unsqueeze(axis)
        h0 = h0.unsqueeze(1) if h0 is not None else None
    if input.dim() != 3 or input.shape[2] != stack.input_size or input.shape[1 - axis] == 0:
        names = "batch, steps" if batch_first else "steps, batch"
        raise RefusedArgument(
            f"input must have shape ({names}, input_size) = ({names}, {stack.input_size}) with "
            f"at least one step, or (steps, {stack.input_size}), "
            f"got {tuple(input.squeeze(axis).shape if is_single else input.shape)}"
        )
    state = _state(stack, input, h0, input.shape[axis], is_single)
    outputs, hn = torch._VF.gru(input, state, stack.weights, *stack.options, batch_first)
    return (outputs.squeeze(axis), hn.squeeze(1)) if is_single else (outputs, hn)


def _packed(
    stack: StackArguments, input: PackedSequence, h0: Tensor | None
) -> tuple[PackedSequence, Tensor]:
    """Run packed sequences; the rows of h0 and hn are in the order before packing."""
    data, batch_sizes, order, back = input
    if data.dim() != 2 or data.shape[1] != stack.input_size:
        raise RefusedArgument(
            f"packed data must have shape (all steps, input_size) = (all steps, "
            f"{stack.input_size}), got {tuple(data.shape)}"
        )
    state = _state(stack, data, h0, int(batch_sizes[0]), is_single=False)
    if h0 is not None and order is not None:
        state = state.index_select(1, order)
    outputs, hn = torch._VF.gru(data, batch_sizes, state, stack.weights, *stack.options)
    if back is not None:
        hn = hn.index_select(1, back)
    return PackedSequence(outputs, batch_sizes, order, back), hn


def _state(
    stack: StackArguments, input: Tensor, h0: Tensor | None, batch: int, is_single: bool
) -> Tensor:
    """Return the initial state, (L, B, H)."""
    shape = (stack.num_layers, batch, stack.hidden_size)
    if h0 is None:
        h0 = torch.zeros(shape, dtype=input.dtype, device=input.device)
    if h0.shape != shape:
        names = "num_layers, hidden_size" if is_single else "num_layers, batch, hidden_size"
        wanted, got = (shape[::2], h0.squeeze(1).shape) if is_single else (shape, h0.shape)
        raise RefusedArgument(f"h0 must have shape ({names}) = {wanted}, got {tuple(got)}")
    check_dtypes(input, h0, stack.weights[0].dtype)
    return h0
