"""How torch's transforms are applied to a target, and whether they can be.

A transform that this build does not support for nn.GRU is not required of a target. Whether a
target can be transformed at all is decided on a fixed case, whatever cases are drawn; a target that
can be transformed there, but not for a drawn case, violates the law.
"""

from __future__ import annotations

import functools
import importlib
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpointed

from stackgru.cases.case import MODES, Case
from stackgru.harness.pair import Pair
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.target import Target

Callee = Callable[..., Any]
Transform = Callable[[nn.Module, tuple[Tensor, ...]], Callee]

_PROBE = Case(input_size=3, hidden_size=4, num_layers=3, batch=2, dropout=0.5, seed=1)


class Wrapped(nn.Module):
    """A module that holds another: TorchScript and others accept an nn.GRU only so.

    Args:
        module: what is called.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Call the module."""
        return self.module(input, h0)  # type: ignore[no-any-return]


def scripted(module: nn.Module, arguments: tuple[Tensor, ...]) -> nn.Module:
    """Return the module scripted by torch.jit.script."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        return torch.jit.script(Wrapped(module))


def exported(module: nn.Module, arguments: tuple[Tensor, ...]) -> nn.Module:
    """Return the module exported by torch.export for arguments like these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(Wrapped(module), arguments).module()


def compiled(module: nn.Module, arguments: tuple[Tensor, ...]) -> nn.Module:
    """Return the module compiled by torch.compile."""
    # This backend runs the traced graph as it is, and needs no C++ compiler.
    importlib.import_module("torch._dynamo").reset()
    return torch.compile(Wrapped(module), backend="eager")  # type: ignore[return-value]


class Recomputed(nn.Module):
    """A module that calls another under a checkpoint.

    Args:
        module: what is called.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *arguments: Tensor) -> Any:
        """Call the module."""
        return checkpointed(self.module, *arguments, use_reentrant=False)


def ensemble(modules: list[nn.Module]) -> Callee:
    """Return a callable of all modules at once, on tensors stacked along a new first axis."""
    weights, buffers = torch.func.stack_module_state(modules)

    def call(*given: Any) -> Any:
        return torch.func.functional_call(modules[0], given[:2], given[2:])

    return lambda *arguments: torch.func.vmap(call)(weights, buffers, *arguments)


def called_with_own(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return a callable of the module with its own weights by torch.func.functional_call."""
    weights = {name: one.detach() for name, one in module.named_parameters()}
    return lambda *given: torch.func.functional_call(module, weights, given)


def in_an_ensemble(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return a callable that runs the module twice under one vmap."""
    both = ensemble([module, module])

    def call(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = both(*(torch.stack([argument] * 2) for argument in arguments))
        return output[0], hn[0]

    return call


def arguments_of(pair: Pair) -> tuple[Tensor, Tensor]:
    """Return copies of the arguments of one call."""
    input = pair.input[0] if pair.kind == "cell" else pair.input
    return input.clone(), pair.h0.clone()


def assert_possible(
    pair: Pair, name: str, transform: Transform, modes: tuple[str, ...] = MODES
) -> None:
    """Raise if nn.GRU or the target cannot be transformed at all; ``name`` is the result's name.

    nn.GRU itself does not support vmap: it is not required, and checked only if it works.
    """
    is_gru_able = transform is not in_an_ensemble
    reason = reference_obstacle(transform) if is_gru_able else None
    if reason is not None:
        raise NotApplicable(f"nn.GRU itself cannot be {name} on this build: {reason}")
    reason = _obstacle(pair.target, transform, modes)
    if reason is not None and pair.strict and is_gru_able:
        raise Violated(f"the target cannot be {name}: {reason}")
    if reason is not None:
        raise NotApplicable(f"the target cannot be {name}: {reason}")


@functools.lru_cache(maxsize=64)
def _obstacle(target: Target, transform: Transform, modes: tuple[str, ...]) -> str | None:
    """Return why a target cannot be transformed, or None."""
    for mode in modes:
        try:
            pair = Pair(target, target.fitted(replace(_PROBE, mode=mode)))
        except Violated:
            return None  # the drawn cases show that it cannot be built
        try:
            _transformed(transform, pair.module, arguments_of(pair))
        except Exception as error:
            return short(error)
    return None


@functools.lru_cache(maxsize=64)
def reference_obstacle(transform: Transform) -> str | None:
    """Return why nn.GRU cannot be transformed on this build, or None."""
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, 3, dropout=0.5)
    arguments = torch.ones(1, 2, 3), torch.ones(3, 2, 4)
    for mode in MODES:
        gru.train(mode == "train")
        try:
            torch.manual_seed(0)
            plain = gru(*arguments)
            torch.manual_seed(0)
            other = _transformed(transform, gru, arguments)
        except Exception as error:
            return short(error)
        if not all(map(torch.equal, plain, other)):
            return "it gives different values"
    return None


def _transformed(transform: Transform, module: nn.Module, arguments: tuple[Tensor, ...]) -> Any:
    """Transform a module and call it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit warns that it is deprecated
        return transform(module, arguments)(*arguments)


def short(error: Exception) -> str:
    """Return an error's type and its first line."""
    first = (str(error).strip().splitlines() or [""])[0]  # the rest is source code and advice
    return textwrap.shorten(
        f"{type(error).__name__}: {first}".rstrip(": ."), 120, placeholder=" ..."
    )
