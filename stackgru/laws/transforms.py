"""Laws of transforms: a target transformed by torch gives what the target gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as checkpointed

from stackgru.harness.judge import Called, Seen
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import expected
from stackgru.laws.helpers.plain import seeded
from stackgru.laws.helpers.transforms import (
    Callee,
    Transform,
    arguments_of,
    assert_possible,
    assert_same,
    called_with,
    compiled,
    ensemble,
    exported,
    in_an_ensemble,
    other_pair,
    reference_obstacle,
    scripted,
    seeded_run,
    short,
    weights_of,
    with_weights,
)
from stackgru.laws.helpers.values import assert_end_to_end, of_itself, unroll
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated, assert_equal
from stackgru.targets.adapter import ConventionAdapter

#: Tracing takes milliseconds per layer and step, whatever the sizes.
_SMALL = {"min_batch": 1, "max_layers": 3, "max_steps": 2, "max_size": 16, "choices": ("grad",)}


def _prepare(attribute: str, transform: Transform) -> Callable[[], object]:
    """Return a function that tries a transform on nn.GRU, which loads what torch loads late."""
    return lambda: hasattr(torch, attribute) and reference_obstacle(transform)


def _needs(where: Any, attribute: str, what: str) -> None:
    if not hasattr(where, attribute):
        raise NotApplicable(f"this build of torch has no {what}")


@law(
    "transforms",
    {"max_steps": 3, "choices": ("grad",)},
    question="conduct",
    share=0.5,
    prepare=_prepare("func", called_with),
)
def functional_call(pair: Pair) -> None:
    """torch.func.functional_call with other weights gives what a module with those weights gives.

    Bit for bit, from the same seed; afterwards the target has its own weights again. Called batch
    first, where nn.GRU itself rounds differently for weights elsewhere in memory, in eval and
    within rounding.
    """
    _needs(torch, "func", "torch.func")
    name = "called with other weights"
    assert_possible(pair, name, called_with)
    if pair.target.convention.batch_first:
        if pair.full_precision and pair.case.batch:
            of_itself(pair, _assert_near_with_other_weights)
        return
    holder = other_pair(pair).module
    weights = weights_of(holder)
    own = seeded_run(pair)
    assert_same(pair, name, lambda module, _: with_weights(module, weights), module=holder)
    pair.equal(seeded_run(pair), own, "with its own weights, after a call with others")


def _assert_near_with_other_weights(pair: Pair) -> None:
    holder = other_pair(pair)
    with pair.mode("eval"), holder.mode("eval"):
        own, alone = seeded_run(pair), seeded_run(pair, holder.module)
        run = seeded_run(pair, with_weights(pair.module, weights_of(holder.module)))
        after = seeded_run(pair)
    bound = expected(holder, None, input=pair.input, h0=pair.h0)
    assert_end_to_end(pair, run, alone, bound, "called with other weights")
    what = "with its own weights, after a call with others"
    assert_end_to_end(pair, after, own, expected(pair, None), what)


@law(
    "transforms",
    {"max_steps": 3, "choices": ("h0", "batch_first")},
    question="conduct",
    share=0.5,
    prepare=importing("torch._dynamo"),
)
def checkpoint(pair: Pair) -> None:
    """Under torch.utils.checkpoint, results and gradients are the same as without, bit for bit.

    From the same seed, in training and in eval, without reentrant autograd.
    """
    if pair.is_scripted:
        raise NotApplicable("torch.utils.checkpoint does not take scripted modules")

    def recomputed(*arguments: Tensor) -> Any:
        return checkpointed(pair.module, *arguments, use_reentrant=False)

    plain, gradients = _with_gradients(pair, None)
    run, others = _with_gradients(pair, recomputed)
    pair.equal(run, plain, "under torch.utils.checkpoint")
    for name, gradient in gradients.items():
        other = others[name]
        if gradient is None or other is None:
            if gradient is not other:
                has = ("no gradient", "a gradient")[other is not None]
                raise Violated(f"under torch.utils.checkpoint {name} has {has}, unlike without")
            continue
        what = f"under torch.utils.checkpoint the gradient of {name}"
        assert_equal(other, gradient, what=what)


def _with_gradients(pair: Pair, module: Callee | None) -> tuple[Run, dict[str, Tensor | None]]:
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
            raise Violated(f"{how} raised {short(error)}") from error
    return run, dict(zip(leaves, found, strict=True))


@law("transforms", _SMALL, question="conduct", share=0.2, prepare=_prepare("jit", scripted))
def script(pair: Pair) -> None:
    """Scripted by torch.jit.script, it gives the same results from the same seed, bit for bit."""
    # TorchScript optimises after it has seen a call or two.
    if isinstance(pair.module, ConventionAdapter):
        raise NotApplicable("a target that is called by a convention of its own cannot be scripted")
    assert_possible(pair, "scripted", scripted)
    assert_same(pair, "scripted", scripted, calls=3)


@law("transforms", _SMALL, question="conduct", share=0.2, prepare=_prepare("export", exported))
def export(pair: Pair) -> None:
    """Exported by torch.export, it gives the same results from the same seed, bit for bit."""
    _needs(torch, "export", "torch.export")
    assert_possible(pair, "exported", exported)
    assert_same(pair, "exported", exported)


@law("transforms", _SMALL, question="conduct", share=0.15, prepare=_prepare("compile", compiled))
def compile(pair: Pair) -> None:
    """Compiled by torch.compile, it gives the same results from the same seed, bit for bit.

    With the backend that runs the traced graph as it is.
    """
    _needs(torch, "compile", "torch.compile")
    assert_possible(pair, "compiled", compiled)
    assert_same(pair, "compiled", compiled)


@law(
    "transforms",
    {**_SMALL, "mode": "eval", "dtypes": FULL_PRECISION, "choices": ("h0", "batch_first")},
    question="conduct",
    share=0.3,
    prepare=importing("torch.jit"),
)
def trace(target: Called, x: Tensor, h0: Tensor, seed: int, strict: bool) -> Iterator[Seen]:
    """In eval, traced by torch.jit.trace, it gives what it gives itself, bit for bit.

    For other numbers of the same sizes; with --strict, as nn.GRU does, for more rows as well.
    """
    # Not in training: a trace multiplies by mask and by 1 / (1 - p) in another order.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is a constant in a trace, and that tracing is old
        traced = torch.jit.trace(target, (x, h0), check_trace=False)  # type: ignore[no-untyped-call]
        inputs = [(x, h0), (-x, -h0)]
        if strict:
            inputs.append((torch.cat([x, x], 1), torch.cat([h0, h0], 1)))
        for one, state in inputs:
            found = seeded(traced, one, state, seed)
            yield (
                f"results of a trace for {one.shape[1]} rows",
                found,
                seeded(target, one, state, seed),
            )


@law(
    "transforms",
    {"mode": "eval", "max_steps": 3, "min_batch": 1, "dtypes": FULL_PRECISION, "choices": ()},
    question="conduct",
    share=0.5,
    prepare=importing("torch.func", "torch._functorch.vmap"),
)
def vmap(pair: Pair) -> None:
    """Two modules under one torch.func.vmap of weights, input and h0 give what each gives alone.

    In eval, within rounding.
    """
    _needs(torch, "func", "torch.func")
    assert_possible(pair, "run under vmap", in_an_ensemble, ("eval",))
    of_itself(pair, _assert_under_vmap)


def _assert_under_vmap(pair: Pair) -> None:
    pairs = [pair, other_pair(pair)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where it falls back on a loop
        arguments = zip(*map(arguments_of, pairs), strict=True)
        try:
            outputs, hn = ensemble([one.module for one in pairs])(*map(torch.stack, arguments))
        except Exception as error:
            raise Violated(f"under vmap the target raised {short(error)}") from error
        for index, one in enumerate(pairs):
            steps = one.input[:1] if pair.kind == "cell" else one.input
            alone = unroll(one, steps, one.h0.clone())
            run = Run(outputs[index].reshape(alone.outputs.shape), hn[index])
            bound = expected(one, None, input=steps)
            assert_end_to_end(pair, run, alone, bound, f"under vmap, module {index}")
