"""StackingGRUCell as nn.GRU and back, on shared parameters, and copies between stacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import nn

from stackgru.gru.cell import StackingGRUCell
from stackgru.gru.parameters import Layer, copy_layers, gru_layers, gru_name, parameter_label


def as_gru(stack: StackingGRUCell, batch_first: bool = False) -> nn.GRU:
    """Return an nn.GRU on the parameters of a stack of cells.

    No weight is copied: both hold the same ``nn.Parameter`` objects, so training, loading or
    casting one does the same to the other. ``.to()``, ``.double()`` and the like change parameters
    in place and keep them shared, as long as torch can put the new tensor into the old parameter:
    a move to the meta device, or ``copy.deepcopy`` or pickling of one of the two, ends it.

    Args:
        stack: the stack of cells.
        batch_first: as for nn.GRU.

    Returns:
        The nn.GRU, with the dropout rate and the mode of the stack.

    Raises:
        TypeError: if it is not a StackingGRUCell.
        ValueError: if its cells differ in dtype or device, since nn.GRU has only one of each.
    """
    if not isinstance(stack, StackingGRUCell):
        raise TypeError(f"as_gru takes a StackingGRUCell, got {type(stack).__name__}")
    layers = layers_of(stack, "stack")
    for what in ("dtype", "device"):
        found = {
            parameter_label(name, layer): str(getattr(value, what))
            for layer, one in enumerate(layers)
            for name, value in one.items()
        }
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{name} {value}" for name, value in found.items())
            raise ValueError(f"nn.GRU has one {what}, but these differ: {listed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a rate, which a single layer does not use
        gru = nn.GRU(
            stack.input_size,
            stack.hidden_size,
            stack.num_layers,
            bias=len(layers[0]) == 4,
            batch_first=batch_first,
            dropout=stack.dropout.p,
            device="meta",  # draws no random number
        )
    for layer, one in enumerate(layers):
        for name, parameter in one.items():
            setattr(gru, gru_name(name, layer), parameter)
    gru.flatten_parameters()  # on a GPU: one chunk of memory for the weights of both
    return gru.train(stack.training)


def as_cells(gru: nn.GRU) -> StackingGRUCell:
    """Return a stack of cells on the parameters of an nn.GRU; see as_gru on what sharing means.

    Args:
        gru: a unidirectional GRU; ``batch_first`` makes no difference.

    Returns:
        The stack, with the dropout rate and the mode of the GRU.

    Raises:
        TypeError: if it is not an nn.GRU.
        ValueError: if it is bidirectional, which a stack that runs step by step cannot be.
    """
    if not isinstance(gru, nn.GRU):
        raise TypeError(f"as_cells takes an nn.GRU, got {type(gru).__name__}")
    layers = layers_of(gru, "gru")
    stack = StackingGRUCell(
        gru.input_size,
        gru.hidden_size,
        gru.num_layers,
        dropout=gru.dropout,
        bias=gru.bias,
        device="meta",
    )
    for cell, one in zip(stack.grus, layers, strict=True):
        for name, parameter in one.items():
            setattr(cell, name, parameter)
    return stack.train(gru.training)


#: What weights can be copied from and to.
AnyStack = StackingGRUCell | nn.GRU | Sequence[nn.GRUCell]


def copy_weights(source: AnyStack, target: AnyStack) -> None:
    """Copy all weights of one stack into another of any kind.

    Args:
        source: a StackingGRUCell, a unidirectional nn.GRU, or a list of nn.GRUCell, lowest first.
        target: likewise; it keeps its dtype and device.

    Raises:
        TypeError: if one of them is something else.
        ValueError: if depths or shapes differ, or only one has biases; the message names every
            mismatch, and nothing is copied.
    """
    old, new = layers_of(source, "source"), layers_of(target, "target")
    if len(old) != len(new):
        raise ValueError(f"source has {len(old)} layers and target {len(new)}")
    wrong = []
    for layer, (one, other) in enumerate(zip(old, new, strict=True)):
        for name in dict.fromkeys((*one, *other)):
            shapes = [tuple(side[name].shape) if name in side else None for side in (one, other)]
            if shapes[0] != shapes[1]:
                seen = ["has none" if shape is None else f"has {shape}" for shape in shapes]
                wrong.append(f"{parameter_label(name, layer)}: source {seen[0]}, target {seen[1]}")
    if wrong:
        raise ValueError("source and target do not match: " + "; ".join(wrong))
    copy_layers(old, new)


def layers_of(stack: AnyStack, name: str) -> list[Layer]:
    """Return a stack's parameters, layer by layer, by their cell names; ``name`` is for errors."""
    if isinstance(stack, nn.GRU):
        if stack.bidirectional:
            raise ValueError(f"{name} is bidirectional, which a stack of cells cannot be")
        return gru_layers(stack)
    cells = list(stack.grus if isinstance(stack, StackingGRUCell) else stack)
    if not cells:
        raise ValueError(f"{name} has no layer")
    for cell in cells:
        if not isinstance(cell, nn.GRUCell):
            raise TypeError(
                f"{name} must be a StackingGRUCell, an nn.GRU or a list of nn.GRUCell, "
                f"not of {type(cell).__name__}"
            )
    return [dict(cell.named_parameters()) for cell in cells]
