"""Laws of transforms: what torch makes of the target gives what the target gives.

A transform that the build does not support for nn.GRU is not asked of a target. Whether a target
can be transformed at all is found on a case that is always the same, so that it does not depend on
which cases are drawn; one that can be there, and not for a drawn case, is in violation.
"""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpointed

from stackgru.cases import MAX_SEED, MODES, Case
from stackgru.evidence import NotApplicable, Violation, assert_equal
from stackgru.laws import law
from stackgru.laws.comparing import assert_end_to_end, expected, unroll
from stackgru.laws.settings import grad_mode
from stackgru.pairs import Pair, Run
from stackgru.targets import Target

_Module = Callable[..., Any]
_Transform = Callable[[nn.Module, tuple[Tensor, ...]], _Module]

_PROBE = Case(input_size=3, hidden_size=4, num_layers=3, batch=2, dropout=0.5, seed=1)
#: Tracing takes milliseconds a layer and step, and does not depend on sizes.
_SMALL = {"min_batch": 1, "max_layers": 3, "max_steps": 2, "max_size": 16}


class Wrapped(nn.Module):
    """A module of one module: TorchScript and others take an nn.GRU only inside another.

    Args:
        module: what is called.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Call the module."""
        return self.module(input, h0)  # type: ignore[no-any-return]


def _scripted(module: nn.Module, arguments: tuple[Tensor, ...]) -> _Module:
    scripted: _Module = torch.jit.script(Wrapped(module))
    return scripted


def _exported(module: nn.Module, arguments: tuple[Tensor, ...]) -> _Module:
    return torch.export.export(Wrapped(module), arguments).module()


def _compiled(module: nn.Module, arguments: tuple[Tensor, ...]) -> _Module:
    # The backend runs what was traced as it is, and needs no compiler of C++.
    torch._dynamo.reset()
    compiled: _Module = torch.compile(Wrapped(module), backend="eager")
    return compiled


def _called_with(module: nn.Module, arguments: tuple[Tensor, ...]) -> _Module:
    return _with_weights(module, _weights(module))


def _in_an_ensemble(module: nn.Module, arguments: tuple[Tensor, ...]) -> _Module:
    ensemble = _ensemble([module, module])

    def call(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = ensemble(*(torch.stack([argument] * 2) for argument in arguments))
        return output[0], hn[0]

    return call


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def _with_weights(module: nn.Module, weights: dict[str, Tensor]) -> _Module:
    return lambda *arguments: torch.func.functional_call(module, weights, arguments)


def _ensemble(modules: list[nn.Module]) -> _Module:
    """Return what calls all of them at once, on tensors stacked along a new first axis."""
    every = [{**_weights(module), **dict(module.named_buffers())} for module in modules]
    stacked = {name: torch.stack([one[name] for one in every]) for name in every[0]}

    def call(weights: dict[str, Tensor], *arguments: Tensor) -> Any:
        return torch.func.functional_call(modules[0], weights, arguments)

    return functools.partial(torch.func.vmap(call), stacked)


def _arguments(pair: Pair) -> tuple[Tensor, Tensor]:
    """Return what one call takes, as copies."""
    input = pair.input[0] if pair.kind == "cell" else pair.input
    return input.clone(), pair.h0.clone()


def _assert_possible(
    pair: Pair, name: str, transform: _Transform, modes: tuple[str, ...] = MODES
) -> None:
    """Raise where nn.GRU or the target cannot be transformed at all; ``name`` says into what."""
    reason = None if transform is _in_an_ensemble else _reference_obstacle(transform)
    if reason is not None:
        raise NotApplicable(f"nn.GRU itself cannot be {name} on this build: {reason}")
    reason = _obstacle(pair.target, transform, modes)
    if reason is not None and pair.strict:
        raise Violation(f"the target cannot be {name}: {reason}")
    if reason is not None:
        raise NotApplicable(f"the target cannot be {name}: {reason}")


@functools.lru_cache(maxsize=64)
def _obstacle(target: Target, transform: _Transform, modes: tuple[str, ...]) -> str | None:
    """Return why a target cannot be transformed, or None."""
    layers = _PROBE.num_layers if "num_layers" in target.accepts else 1
    dropout = _PROBE.dropout if "dropout" in target.accepts else 0.0
    for mode in modes:
        try:
            pair = Pair(target, replace(_PROBE, num_layers=layers, dropout=dropout, mode=mode))
        except Violation:
            return None  # that it cannot be built is for the drawn cases to show
        try:
            _transformed(transform, pair.module, _arguments(pair))
        except Exception as error:
            return _short(error)
    return None


@functools.lru_cache(maxsize=64)
def _reference_obstacle(transform: _Transform) -> str | None:
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
            return _short(error)
        if not all(map(torch.equal, plain, other)):
            return "it gives other values"
    return None


def _transformed(transform: _Transform, module: nn.Module, arguments: tuple[Tensor, ...]) -> Any:
    """Transform a module and call it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit warns that it is deprecated
        return transform(module, arguments)(*arguments)


def _short(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]  # the rest is code and advice
    return textwrap.shorten(
        f"{type(error).__name__}: {first}".rstrip(": ."), 120, placeholder=" ..."
    )


def _assert_same(
    pair: Pair, name: str, transform: _Transform, *, module: nn.Module | None = None, calls: int = 2
) -> None:
    """Raise a violation where the transformed target gives other results than ``module``.

    Args:
        pair: the pair.
        name: what the transform makes of the target.
        transform: makes it.
        module: what gives the right results; the target itself if None.
        calls: how often what was made is called.
    """
    __tracebackhide__ = True
    plain = _seeded(pair, module)
    try:
        with warnings.catch_warnings(), grad_mode(pair):
            warnings.simplefilter("ignore")
            other = transform(pair.module, _arguments(pair))
    except Exception as error:
        raise Violation(f"the target cannot be {name} in this case: {_short(error)}") from error
    for _ in range(calls):
        try:
            run = _seeded(pair, other)
        except Violation as violation:
            raise Violation(f"{name}: {violation.message}") from violation
        pair.equal(run, plain, f"{name}, from the same seed")


def _seeded(pair: Pair, module: _Module | None = None) -> Run:
    """Run from the case's seed, on copies, the target or what is called in its place."""
    pair.seed()
    with grad_mode(pair):
        return unroll(pair, pair.input.clone(), pair.h0.clone(), module)


def _other_pair(pair: Pair) -> Pair:
    """Return a pair of the same sizes with other weights, input and state."""
    return Pair(pair.target, replace(pair.case, seed=(pair.case.seed + 1) % (MAX_SEED + 1)))


def _needs(where: Any, attribute: str, what: str) -> None:
    if not hasattr(where, attribute):
        raise NotApplicable(f"this build of torch has no {what}")


@law("transforms", {"max_steps": 3}, question="conduct", share=0.5)
def functional_call(pair: Pair) -> None:
    """Called with other weights by torch.func.functional_call, it is a module that holds them.

    To the bit, from one seed; and the target holds its own weights again afterwards.
    """
    _needs(torch, "func", "torch.func")
    name = "called with other weights"
    _assert_possible(pair, name, _called_with)
    holder = _other_pair(pair).module
    weights = _weights(holder)
    own = _seeded(pair)
    _assert_same(pair, name, lambda module, _: _with_weights(module, weights), module=holder)
    pair.equal(_seeded(pair), own, "its own weights, after a call with others")


@law("transforms", {"max_steps": 3}, question="conduct", share=0.5)
def checkpoint(pair: Pair) -> None:
    """Under torch.utils.checkpoint results and gradients are what they are without, to the bit.

    From the same seed, in training and in eval, without reentrant autograd.
    """

    def recomputed(*arguments: Tensor) -> Any:
        return checkpointed(pair.module, *arguments, use_reentrant=False)

    plain, gradients = _with_gradients(pair, None)
    run, others = _with_gradients(pair, recomputed)
    pair.equal(run, plain, "under torch.utils.checkpoint")
    for name, gradient in gradients.items():
        other = others[name]
        if gradient is None or other is None:
            if gradient is not other:
                raise Violation(f"under torch.utils.checkpoint {name} has another gradient")
            continue
        axes = tuple(f"axis {axis}, index" for axis in range(gradient.dim()))
        what = f"under torch.utils.checkpoint the gradient of {name}"
        assert_equal(other, gradient, what=what, axes=axes)


def _with_gradients(pair: Pair, module: _Module | None) -> tuple[Run, dict[str, Tensor | None]]:
    """Run from the case's seed; return results and the gradients of their sum, by name."""
    input, h0 = pair.input.clone().requires_grad_(), pair.h0.clone().requires_grad_()
    leaves = {"input": input, "h0": h0, **dict(pair.module.named_parameters())}
    pair.seed()
    with torch.enable_grad():
        run = unroll(pair, input, h0, module)
        total = run.outputs.sum() + run.hn.sum()
        try:
            found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        except RuntimeError as error:
            how = "a backward pass" + (" under torch.utils.checkpoint" if module else "")
            raise Violation(f"{how} raised {_short(error)}") from error
    return run, dict(zip(leaves, found, strict=True))


@law("transforms", _SMALL, question="conduct", share=0.2)
def script(pair: Pair) -> None:
    """Scripted by torch.jit.script, the target gives the same results, to the bit, from one seed."""
    # TorchScript optimises after it has seen a call or two.
    _assert_possible(pair, "scripted", _scripted)
    _assert_same(pair, "scripted", _scripted, calls=3)


@law("transforms", _SMALL, question="conduct", share=0.2)
def export(pair: Pair) -> None:
    """Exported by torch.export, the target gives the same results, to the bit, from one seed."""
    _needs(torch, "export", "torch.export")
    _assert_possible(pair, "exported", _exported)
    _assert_same(pair, "exported", _exported)


@law("transforms", _SMALL, question="conduct", share=0.15)
def compile(pair: Pair) -> None:
    """Compiled by torch.compile, the target gives the same results, to the bit, from one seed.

    With the backend that runs what was traced as it is.
    """
    _needs(torch, "compile", "torch.compile")
    _assert_possible(pair, "compiled", _compiled)
    _assert_same(pair, "compiled", _compiled)


@law(
    "transforms",
    {"mode": "eval", "max_steps": 3, "min_batch": 1, "dtypes": ("float64", "float32")},
    question="conduct",
    share=0.5,
)
def vmap(pair: Pair) -> None:
    """Two modules under one torch.func.vmap, over weights, input and h0, give what each gives.

    In eval, within rounding.
    """
    _needs(torch, "func", "torch.func")
    _assert_possible(pair, "run under vmap", _in_an_ensemble, ("eval",))
    pairs = [pair, _other_pair(pair)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where it falls back on a loop
        arguments = zip(*map(_arguments, pairs), strict=True)
        try:
            outputs, hn = _ensemble([one.module for one in pairs])(*map(torch.stack, arguments))
        except Exception as error:
            raise Violation(f"under vmap the target raised {_short(error)}") from error
        for index, one in enumerate(pairs):
            steps = one.input[:1] if pair.kind == "cell" else one.input
            alone = unroll(one, steps, one.h0.clone())
            run = Run(outputs[index].reshape(alone.outputs.shape), hn[index])
            bound = expected(one, None, input=steps)
            assert_end_to_end(pair, run, alone, bound, f"under vmap, module {index}")
