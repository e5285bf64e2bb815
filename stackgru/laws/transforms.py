"""Laws of transforms: a target transformed by torch gives what the target gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from stackgru.harness.judge import Called, Seen, Within
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.plain import (
    Results,
    are_within,
    fill,
    gradients_of,
    leaf_of,
    next_numbers,
    seeded,
)
from stackgru.laws.helpers.transforms import (
    Recomputed,
    Transform,
    assert_possible,
    called_with_own,
    compiled,
    ensemble,
    exported,
    in_an_ensemble,
    reference_obstacle,
    scripted,
)
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable
from stackgru.targets.adapter import ConventionAdapter

#: Tracing takes milliseconds per layer and step, whatever the sizes.
_SMALL = {"min_batch": 1, "max_layers": 3, "max_steps": 2, "max_size": 16, "choices": ("grad",)}


def _prepare(attribute: str, transform: Transform) -> Callable[[], object]:
    """Return a function that tries a transform on nn.GRU, which loads what torch loads late."""
    return lambda: hasattr(torch, attribute) and reference_obstacle(transform)


def _possible(
    attribute: str, name: str, transform: Transform, **options: Any
) -> Callable[[Pair], None]:
    """Return a function that raises if torch, nn.GRU or the target cannot be transformed at all."""

    def needs(pair: Pair) -> None:
        if not hasattr(torch, attribute):
            raise NotApplicable(f"this build of torch has no torch.{attribute}")
        assert_possible(pair, name, transform, **options)

    return needs


@law(
    "transforms",
    {"max_steps": 3, "choices": ("grad",)},
    question="conduct",
    share=0.5,
    prepare=_prepare("func", called_with_own),
    needs=_possible("func", "called with other weights", called_with_own),
)
def functional_call(
    target: Called, fresh: Called, x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """torch.func.functional_call with other weights gives what a module with those weights gives.

    Bit for bit, from the same seed; afterwards the target has its own weights again.
    """
    fill(fresh, [-weight.flip(0) for weight in fresh.parameters()])
    # By weights that require no gradients nn.GRU may multiply in another order.
    weights = {
        name: weight.detach().requires_grad_(weight.requires_grad)
        for name, weight in fresh.named_parameters()
    }

    def call(*arguments: Tensor) -> Results:
        return torch.func.functional_call(target, weights, arguments)  # type: ignore[no-any-return]

    own = seeded(target, x, h0, seed)
    found, right = seeded(call, x, h0, seed), seeded(fresh, x, h0, seed)
    yield "results of a call with other weights", found, right
    after = seeded(target, x, h0, seed)
    yield "results with its own weights, after a call with others", after, own


def _not_scripted(pair: Pair) -> None:
    if pair.is_scripted:
        raise NotApplicable("torch.utils.checkpoint does not take scripted modules")


@law(
    "transforms",
    {"max_steps": 3, "choices": ("h0", "batch_first")},
    question="conduct",
    share=0.3,
    prepare=importing("torch._dynamo"),
    needs=_not_scripted,
)
def checkpoint(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """Under torch.utils.checkpoint, results and gradients are the same as without, bit for bit.

    From the same seed, in training and in eval, without reentrant autograd.
    """
    x, h0 = leaf_of(x), leaf_of(h0)
    leaves = [x, h0, *target.parameters()]
    with torch.enable_grad():
        right = seeded(target, x, h0, seed)
        gradients = gradients_of(right, leaves)
        found = seeded(target.holding(Recomputed(target.module)), x, h0, seed)
        yield "results under torch.utils.checkpoint", found, right
        yield "gradients under torch.utils.checkpoint", gradients_of(found, leaves), gradients


def _can_be_scripted(pair: Pair) -> None:
    if isinstance(pair.module, ConventionAdapter):
        raise NotApplicable("a target that is called by a convention of its own cannot be scripted")
    assert_possible(pair, "scripted", scripted)


@law(
    "transforms",
    # In inference mode TorchScript refuses what it optimises for a backward pass.
    {**_SMALL, "choices": ()},
    {**_SMALL, "mode": "train", "seq_len": 1, "partial": True, "min_layers": 2, "choices": ()},
    question="conduct",
    share=0.2,
    prepare=_prepare("jit", scripted),
    needs=_can_be_scripted,
)
def script(
    target: Called, reference: Called, x: Tensor, h0: Tensor, seed: int, drops: bool, within: Within
) -> Iterator[Seen]:
    """Scripted by torch.jit.script, it gives its own results, within rounding.

    In training only where those are nn.GRU's from the same seed, and both draw as many numbers.
    """
    made = target.holding(scripted(target.module, (x, h0)))
    allowed = within(x, h0)
    right = seeded(reference, x, h0, seed)
    if drops and not are_within(seeded(target, x, h0, seed), right, allowed):
        return  # the bounds are those of nn.GRU's masks
    # TorchScript optimises after it has seen a call or two.
    for number in range(3):
        found, next_found = seeded(made, x, h0, seed), next_numbers(h0)
        right, next_right = seeded(target, x, h0, seed), next_numbers(h0)
        # Some dropout that it optimises draws numbers of another dtype, or some at rate 0.
        if not drops or torch.equal(next_found, next_right):
            yield f"results of call {number} of it, scripted", found, right, allowed


@law(
    "transforms",
    _SMALL,
    question="conduct",
    share=0.06,
    prepare=_prepare("export", exported),
    needs=_possible("export", "exported", exported),
)
def export(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """Exported by torch.export, it gives the same results from the same seed, bit for bit."""
    given: list[tuple[Tensor, ...]] = []
    handle = target.module.register_forward_pre_hook(lambda module, args: given.append(args))
    right = seeded(target, x, h0, seed)
    handle.remove()
    made = target.holding(exported(target.module, given[0]))
    for number in range(2):
        yield f"results of call {number} of it, exported", seeded(made, x, h0, seed), right


@law(
    "transforms",
    _SMALL,
    question="conduct",
    share=0.06,
    prepare=_prepare("compile", compiled),
    needs=_possible("compile", "compiled", compiled),
)
def compile(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """Compiled by torch.compile, it gives the same results from the same seed, bit for bit.

    With the backend that runs the traced graph as it is.
    """
    right = seeded(target, x, h0, seed)
    made = target.holding(compiled(target.module, (x, h0)))
    for number in range(2):
        yield f"results of call {number} of it, compiled", seeded(made, x, h0, seed), right


_TRACED = {**_SMALL, "mode": "eval", "dtypes": FULL_PRECISION}


@law(
    "transforms",
    {**_TRACED, "choices": ("batch_first",)},
    # A trace keeps whether a state is left out, and one of extreme numbers may be zeros by chance.
    {**_TRACED, "usual": True, "choices": ("h0", "batch_first")},
    question="conduct",
    share=0.3,
    prepare=importing("torch.jit"),
)
def trace(
    target: Called, x: Tensor, h0: Tensor, seed: int, within: Within, strict: bool
) -> Iterator[Seen]:
    """In eval, traced by torch.jit.trace, it gives what it gives itself, within rounding.

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
                within(one, state),
            )


@law(
    "transforms",
    {"mode": "eval", "max_steps": 3, "min_batch": 1, "dtypes": FULL_PRECISION, "choices": ()},
    question="conduct",
    share=0.5,
    prepare=importing("torch.func", "torch._functorch.vmap"),
    needs=_possible("func", "run under vmap", in_an_ensemble, modes=("eval",)),
    is_of_itself=True,
)
def vmap(target: Called, fresh: Called, x: Tensor, h0: Tensor, within: Within) -> Iterator[Seen]:
    """Two modules under one torch.func.vmap of weights, input and h0 give what each gives alone.

    In eval, within rounding.
    """
    fill(fresh, [-weight.flip(0) for weight in fresh.parameters()])
    given = [(target, x, h0), (fresh, -x, -h0)]
    with torch.no_grad():
        try:
            inputs, states = torch.stack([x, -x]), torch.stack([h0, -h0])
            output, hn = ensemble([target, fresh])(inputs, states)
        except Exception as error:  # nn.GRU raises here, and the target does not on a fixed case
            raised = error.__cause__ or error
            yield "what torch.func.vmap raised", f"{type(raised).__name__}: {raised}", None
            return
        for number, (module, one, state) in enumerate(given):
            right, allowed = module(one, state), within(one, state, module)
            what = f"under vmap of module {number}"
            yield f"output {what}", output[number], right[0], allowed[0]
            yield f"hn {what}", hn[number], right[1], allowed[1]
