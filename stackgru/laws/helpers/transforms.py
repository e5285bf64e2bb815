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

from stackgru.cases.case import MAX_SEED, MODES, Case
from stackgru.harness.pair import Pair, Run
from stackgru.laws.helpers.values import unroll
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


def scripted(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return the module scripted by torch.jit.script."""
    result: Callee = torch.jit.script(Wrapped(module))
    return result


def exported(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return the module exported by torch.export for arguments like these."""
    return torch.export.export(Wrapped(module), arguments).module()


def compiled(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return the module compiled by torch.compile."""
    # This backend runs the traced graph as it is, and needs no C++ compiler.
    importlib.import_module("torch._dynamo").reset()
    result: Callee = torch.compile(Wrapped(module), backend="eager")
    return result


def called_with(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return a callable of the module with its own weights by torch.func.functional_call."""
    return with_weights(module, weights_of(module))


def in_an_ensemble(module: nn.Module, arguments: tuple[Tensor, ...]) -> Callee:
    """Return a callable that runs the module twice under one vmap."""
    both = ensemble([module, module])

    def call(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = both(*(torch.stack([argument] * 2) for argument in arguments))
        return output[0], hn[0]

    return call


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of a module's parameters by name."""
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def with_weights(module: nn.Module, weights: dict[str, Tensor]) -> Callee:
    """Return a callable of the module with these weights in place of its own."""
    return lambda *arguments: torch.func.functional_call(module, weights, arguments)


def ensemble(modules: list[nn.Module]) -> Callee:
    """Return a callable of all modules at once, on tensors stacked along a new first axis."""
    every = [{**weights_of(module), **dict(module.named_buffers())} for module in modules]
    stacked = {name: torch.stack([one[name] for one in every]) for name in every[0]}

    def call(weights: dict[str, Tensor], *arguments: Tensor) -> Any:
        return torch.func.functional_call(modules[0], weights, arguments)

    return functools.partial(torch.func.vmap(call), stacked)


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


def assert_same(
    pair: Pair, name: str, transform: Transform, *, module: nn.Module | None = None, calls: int = 2
) -> None:
    """Raise a violation if the transformed target gives other results than ``module``.

    Args:
        pair: the pair.
        name: what the transformed target is called in the message.
        transform: the transform.
        module: gives the expected results; the target itself if None.
        calls: how often the transformed target is called.
    """
    __tracebackhide__ = True
    plain = seeded_run(pair, module)
    try:
        with warnings.catch_warnings(), pair.grad_mode():
            warnings.simplefilter("ignore")
            other = transform(pair.module, arguments_of(pair))
    except Exception as error:
        raise Violated(f"the target cannot be {name} in this case: {short(error)}") from error
    for _ in range(calls):
        try:
            run = seeded_run(pair, other)
        except Violated as violation:
            raise Violated(f"{name}: {violation}") from violation
        pair.equal(run, plain, f"{name}, from the same seed")


def seeded_run(pair: Pair, module: Callee | None = None) -> Run:
    """Run the target, or ``module`` in its place, from the case's seed, on copies."""
    pair.seed()
    with pair.grad_mode():
        return unroll(pair, pair.input.clone(), pair.h0.clone(), module)


def other_pair(pair: Pair) -> Pair:
    """Return a pair of the same sizes with other weights, input and state."""
    return Pair(pair.target, replace(pair.case, seed=(pair.case.seed + 1) % (MAX_SEED + 1)))
