"""What laws that are plain functions of torch share; a script shows those that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Results = tuple[Tensor, Tensor]


def seeded(module: Callable[..., Results], x: Tensor, h0: Tensor, seed: int) -> Results:
    """Call a module from a seed."""
    set_seed(seed, h0)
    return module(x, h0)


def set_seed(seed: int, like: Tensor) -> None:
    """Seed the generator that draws for a tensor."""
    if like.is_cuda:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)  # a hundredth of manual_seed's time


def next_numbers(like: Tensor) -> Tensor:
    """Return the next numbers of the generator that draws for a tensor."""
    return torch.rand(2, dtype=torch.float64, device=like.device)


def are_within(found: Results, right: Results, allowed: Results) -> bool:
    """Return whether results are nowhere farther from the right ones than is allowed."""
    bounds = zip(found, right, allowed)  # noqa: B905 - Python 3.9
    return all(bool(((a - b).abs().cpu() <= c).all()) for a, b, c in bounds)


def named(
    how: str,
    results: Iterable[Any],
    right: Iterable[Any],
    names: Iterable[str] = ("output", "hn"),
) -> Iterator[tuple[str, Any, Any]]:
    """Yield results by name, each with what it should be."""
    for name, own, other in zip(names, results, right, strict=True):
        yield f"{name} {how}", own, other


def leaf_of(value: Tensor) -> Tensor:
    """Return a copy that is a leaf of the graph and requires gradients."""
    return value.detach().clone().requires_grad_()


def total(results: Sequence[Tensor]) -> Tensor:
    """Return the sum of all results."""
    return sum(result.sum() for result in results)  # type: ignore[return-value]


def backward(results: Sequence[Tensor]) -> None:
    """Go back from the sum of all results."""
    total(results).backward()  # type: ignore[no-untyped-call]


def gradients_of(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of the sum of all results; None where nothing flows to."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return list(torch.autograd.grad(total(results), wanted, retain_graph=True, allow_unused=True))


def fill(module: nn.Module, values: Sequence[Tensor]) -> None:
    """Write values into the parameters of a module."""
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), values):  # noqa: B905 - Python 3.9
            parameter.copy_(value)


def memory_of(value: Tensor) -> Any:
    """Return what identifies the memory of a tensor."""
    has_untyped = hasattr(value, "untyped_storage")  # before torch 2.0
    storage: Any = value.untyped_storage() if has_untyped else value.storage()  # type: ignore[no-untyped-call]
    return storage.data_ptr() or id(storage)
