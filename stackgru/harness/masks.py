"""Dropout masks: recording those that a module draws, and injecting others instead.

On the CPU both nn.Dropout and nn.GRU draw a mask by ``aten.bernoulli_.float``, below autograd, so
a TorchDispatchMode sees every mask of either side, and can fill in another without advancing the
generator. Fused kernels (cuDNN) show none; then nothing is recorded, and the laws that need masks
are not applicable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_BERNOULLI = {
    _aten.bernoulli_.float,
    _aten.bernoulli_.Tensor,
    _aten.bernoulli.default,
    _aten.bernoulli.p,
}
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_DRAWING = ("rand", "uniform", "normal", "exponential", "dropout", "multinomial", "poisson")


@dataclass(frozen=True)
class Draw:
    """One recorded mask.

    Attributes:
        mask: bool, True where a value is kept.
        keep: the requested probability of True; NaN if it differs between values.
    """

    mask: Tensor
    keep: float


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that sees every operator; seen from there, torch.compile does not exist."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Recent torch would guard every operator against compilation, at more than its own cost.
        return False


def _in_parts(mode: _Mode, func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operator by those that it is made of; inference mode shows a mode the whole alone.

    Returns:
        Its result; NotImplemented if it is not made of others.
    """
    if not torch.is_inference_mode_enabled() or not _is_made_of_others(func):
        return NotImplemented
    with mode:
        return func._op_dk(_COMPOSITE, *args, **kwargs)


class Recorder(_Mode):
    """Records the masks that are drawn while it is entered.

    Attributes:
        draws: the masks, in the order in which they were drawn.
        others: names of other operators that drew random numbers.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: list[Draw] = []
        self.others: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and keep a copy of the mask, if it is one."""
        kwargs = kwargs or {}
        parts = _in_parts(self, func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        if func in _BERNOULLI:
            keep = _keep_probability(func, args, kwargs)
            result = func(*args, **kwargs)
            self.draws.append(Draw(result.detach().clone().bool(), keep))
            return result
        result = func(*args, **kwargs)
        if func is _aten.native_dropout.default:
            self.draws.append(Draw(result[1].detach().clone().bool(), 1 - args[1]))
        elif _draws_random_numbers(func):
            self.others.append(str(func))
        return result


class Injector(_Mode):
    """Replaces the masks that are drawn while it is entered by its own, in turn.

    Args:
        masks: the masks to use, each of the shape that will be drawn.

    Attributes:
        asked: how many masks were drawn.
        misfit: the first shape drawn that does not match its turn, or None.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._masks = masks
        self.asked = 0
        self.misfit: tuple[int, ...] | None = None

    @property
    def complete(self) -> bool:
        """Whether exactly these masks were drawn, each in its shape."""
        return self.asked == len(self._masks) and self.misfit is None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, or fill in the next mask instead of drawing one."""
        parts = _in_parts(self, func, args, kwargs or {})
        if parts is not NotImplemented:
            return parts
        if func in _BERNOULLI or func is _aten.native_dropout.default:
            mask = self._next(args[0].shape)
            if mask is not None:
                return _fill(func, args, mask)
        return func(*args, **(kwargs or {}))

    def _next(self, shape: torch.Size) -> Tensor | None:
        self.asked += 1
        if self.asked <= len(self._masks):
            mask = self._masks[self.asked - 1]
            if fits(shape, mask.shape):
                return mask.reshape(shape)
        if self.misfit is None:
            self.misfit = tuple(shape)
        return None


#: The orders in which a module may draw the masks between its layers, (L - 1, T, B, H): each maps
#: them to the blocks that are drawn one after the other.
ORDERS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "layer order": lambda masks: list(masks),
    "time order": lambda masks: list(masks.transpose(0, 1).flatten(0, 1)),
    "layer order, step by step": lambda masks: [mask for layer in masks for mask in layer],
    "layer order, batch first": lambda masks: [layer.transpose(0, 1) for layer in masks],
    "all layers of a step at once": lambda masks: list(masks.transpose(0, 1)),
    "all layers and steps at once": lambda masks: [masks],
}

#: The orders in which a cell, which sees one step at a time, may draw them.
CELL_ORDERS = ("time order", "all layers of a step at once")


def arrange(draws: Sequence[Draw], shape: tuple[int, ...], order: str) -> Tensor | None:
    """Return recorded masks as one tensor of shape (L - 1, T, B, H), bool.

    None if these draws are not such masks in that order, a name in ORDERS.
    """
    places = torch.arange(torch.Size(shape).numel()).reshape(shape)
    blocks = ORDERS[order](places)
    if len(blocks) != len(draws):
        return None
    masks = torch.zeros(places.numel(), dtype=torch.bool)
    for block, draw in zip(blocks, draws, strict=True):
        if not fits(draw.mask.shape, block.shape):
            return None
        masks[block.flatten()] = draw.mask.flatten().cpu()
    return masks.reshape(shape)


def fits(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two shapes are the same except for dimensions of size one."""
    return [n for n in one if n != 1] == [n for n in other if n != 1]


def _fill(func: Any, args: Any, mask: Tensor) -> Any:
    if func in (_aten.bernoulli_.float, _aten.bernoulli_.Tensor):
        return args[0].copy_(mask)
    if func is _aten.native_dropout.default:
        input, p = args[0], args[1]
        mask = mask.to(input.device)
        return input * mask / (1 - p), mask
    return mask.to(args[0])


def _keep_probability(func: Any, args: Any, kwargs: Any) -> float:
    if func is _aten.bernoulli.default:
        p = args[0]
    else:
        p = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    if not isinstance(p, Tensor):
        return float(p)
    if p.numel() == 0 or not bool((p == p.flatten()[0]).all()):
        return float("nan")
    return float(p.flatten()[0])


@functools.cache
def _is_made_of_others(func: Any) -> bool:
    name, key = func.name(), "CompositeImplicitAutograd"
    return _draws_random_numbers(func) and torch._C._dispatch_has_kernel_for_dispatch_key(name, key)


@functools.cache
def _draws_random_numbers(func: Any) -> bool:
    # torch 1.13 has no tag for this; there the names of such operators are used.
    tag = getattr(torch.Tag, "nondeterministic_seeded", None)
    if tag is not None:
        return tag in func.tags
    return any(word in str(func) for word in _DRAWING)
