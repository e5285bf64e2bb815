"""Dropout masks: recording those that a module draws, and injecting others instead.

On the CPU both nn.Dropout and nn.GRU draw a mask by ``aten.bernoulli_.float``, below autograd, so
a TorchDispatchMode sees every mask of either side, and can fill in another without advancing the
generator. Fused kernels (cuDNN) show none; then nothing is recorded, and the laws that need masks
are not applicable.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from types import FrameType
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
_backward_pass = getattr(torch._C, "_current_graph_task_id", None)
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


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

    The generator moves on as it would. What is drawn in a backward pass from a state in which the
    generator was before is drawn again, by a recomputation, and is the same mask.

    Args:
        kept: which values are kept, bool and flat, in the order in which they will be drawn.

    Attributes:
        drawn: how many values were drawn.
        shapes: the shapes that were drawn, each in turn.
    """

    def __init__(self, kept: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept
        self._begun: list[tuple[Tensor, int]] = []
        self.drawn = 0
        self.shapes: list[tuple[int, ...]] = []

    @property
    def complete(self) -> bool:
        """Whether exactly these values were drawn."""
        return self.drawn == len(self._kept)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and put the next mask in the place of what it drew."""
        kwargs = kwargs or {}
        parts = _in_parts(self, func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        if func not in _BERNOULLI and func is not _aten.native_dropout.default:
            return func(*args, **kwargs)
        mask = self._next(args[0])
        result = func(*args, **kwargs)
        return result if mask is None else _fill(func, args, result, mask)

    def _next(self, like: Tensor) -> Tensor | None:
        """Return the mask in the place of one that is drawn, or None if there are no more."""
        if not like.numel():
            return None
        state = generator_state(like)
        start = None
        if _in_backward():
            start = next((at for other, at in self._begun if torch.equal(state, other)), None)
        if start is None:
            start = self.drawn
            self._begun.append((state, start))
            self.drawn += like.numel()
            self.shapes.append(tuple(like.shape))
        mask = self._kept[start : start + like.numel()]
        return mask.reshape(like.shape) if len(mask) == like.numel() else None


def generator_state(like: Tensor) -> Tensor:
    """Return the state of the generator that draws for a tensor."""
    if like.is_cuda:  # pragma: no cover - only where there is a GPU
        return torch.cuda.get_rng_state(like.device)
    return torch.get_rng_state()


def _in_backward() -> bool:
    """Whether a backward pass is under way."""
    if _backward_pass is not None:
        return bool(_backward_pass() != -1)
    # Before torch 2.0 only the callers tell.
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename != torch.autograd.__file__:
        frame = frame.f_back
    return frame is not None


#: The axes of all masks between layers, (L - 1, T, B, H).
_AXES = ("layers", "steps", "rows", "units")


def _permuted(axes: tuple[int, ...], reversed_: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    return lambda places: places.flip(reversed_).permute(axes).flatten()


def _diagonals(sign: int) -> Callable[[Tensor], Tensor]:
    def order(places: Tensor) -> Tensor:
        both = product(*map(range, places.shape[:2]))
        along = sorted(both, key=lambda at: (sum(at), sign * at[0]))
        return torch.stack([places[at] for at in along]).flatten()

    return order


def _at_once(number: int, axis: int, first: int = 0) -> Callable[[Tensor], Tensor]:
    """Return an order that takes so many steps or rows at once, within them one axis first."""

    def order(places: Tensor) -> Tensor:
        parts = torch.split(places, number, axis)
        return torch.cat([part.transpose(0, first).flatten() for part in parts])

    return order


def _in_each_layer(order: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda places: torch.cat([order(layer) for layer in places])


#: nn.GRU's order, and that of whoever goes through all layers step by step.
LAYER_ORDER, TIME_ORDER = "layers, steps, rows, units", "steps, layers, rows, units"
#: Orders in which a module may draw the values of the masks between its layers, (L - 1, T, B, H),
#: one after the other or several at once: each returns them, flat, in its order.
ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    ", ".join(_AXES[axis] for axis in axes)
    + "".join(f", {_AXES[axis]} in reverse" for axis in reversed_): _permuted(axes, reversed_)
    for reversed_ in ((), (0,), (1,), (0, 1))
    for axes in permutations(range(4))
}
ORDERS |= {
    "layer after layer along diagonals": _diagonals(1),
    "step after step along diagonals": _diagonals(-1),
    **{f"{number} steps at once": _at_once(number, 1) for number in range(2, 9)},
}
for _number in (2, 3, 4, 5, 8, 16, 32, 64, 128):
    ORDERS |= {
        f"{_number} rows at once": _at_once(_number, 2),
        f"{_number} rows at once, step by step": _at_once(_number, 2, 1),
        f"layer by layer, {_number} rows at once": _in_each_layer(_at_once(_number, 1)),
    }


def flat(draws: Sequence[Draw]) -> Tensor:
    """Return all values of recorded masks, in the order in which they were drawn."""
    values = [one.mask.flatten().cpu() for one in draws]
    return torch.cat([torch.zeros(0, dtype=torch.bool), *values])


def arrange(kept: Tensor, order: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return drawn values as masks of this shape; None if it were more or fewer.

    Args:
        kept: the values, flat, in the order in which they were drawn.
        order: the places of the shape, counted flat, in that order.
        shape: (L - 1, T, B, H); what has no place in the order is kept.
    """
    if len(order) != len(kept):
        return None
    masks = torch.ones(torch.Size(shape).numel(), dtype=torch.bool)
    masks[order] = kept
    return masks.reshape(shape)


def fits(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two shapes are the same except for dimensions of size one."""
    return [n for n in one if n != 1] == [n for n in other if n != 1]


def _fill(func: Any, args: Any, result: Any, mask: Tensor) -> Any:
    """Put a mask in the place of what an operator drew."""
    if func is not _aten.native_dropout.default:
        return result.copy_(mask)
    input, p = args[0], args[1]
    mask = mask.to(input.device)
    return input * mask / (1 - p), mask


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
    # torch 1.13 gives nn.GRU's own operator no tag.
    return torch.Tag.nondeterministic_seeded in func.tags or "gru." in str(func)
