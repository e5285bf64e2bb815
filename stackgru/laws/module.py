"""Laws of the module: what is done to one in a program, besides calling it."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from stackgru.harness.judge import Called, Seen
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.plain import (
    Results,
    backward,
    fill,
    gradients_of,
    leaf_of,
    memory_of,
    seeded,
)
from stackgru.laws.registry import law
from stackgru.outcomes import NotApplicable

_SMALL = {"min_batch": 1, "max_batch": 4, "max_layers": 3, "max_steps": 3, "max_size": 16}


def seed_others(seed: int) -> tuple[object, ...]:
    """Seed Python's and, if it is imported, NumPy's generator; return their states."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed([ord(digit) for digit in str(seed)])
    return states_of_others()


def states_of_others() -> tuple[object, ...]:
    """Return the states of Python's and, if it is imported, NumPy's generator."""
    numpy = sys.modules.get("numpy")
    state = () if numpy is None else numpy.random.get_state()
    return random.getstate(), [str(part) for part in state]


@law("conduct", {**_SMALL, "choices": ("grad", "calls")}, question="conduct", share=0.5)
def generators(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int, calls: int
) -> Iterator[Seen]:
    """Python's and NumPy's generators are neither read nor moved nor seeded, in any mode.

    By building, calls, or a backward pass.
    """
    found, weights = [], []
    for other in (seed, seed + 1):
        before = seed_others(other)
        torch.manual_seed(seed)
        weights.append([parameter.detach() for parameter in build().parameters()])
        yield "generators are as they were before building", states_of_others() == before, True
        for _ in range(calls):
            target(x, h0)
        found.append(seeded(target, x, h0, seed))
        if found[-1][0].requires_grad:
            backward(found[-1])
        yield "generators are as they were before calls", states_of_others() == before, True
    yield "weights with another state of Python's and NumPy's generators", weights[1], weights[0]
    yield "results with another state of Python's and NumPy's generators", found[1], found[0]


@law("conduct", {**_SMALL, "choices": ("batch_first",)}, question="conduct", share=0.3)
def released(target: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """Of eight calls, at most the last one's graph and results stay; all others are let go."""
    module = getattr(target, "module", target)
    inputs, results = [], []

    def after(module: nn.Module, given: Any, found: Any) -> None:
        several = found if isinstance(found, (tuple, list)) else [found]
        results.append([weakref.ref(one) for one in several if isinstance(one, Tensor)])

    handle = module.register_forward_hook(after)
    with torch.enable_grad():
        for _ in range(8):
            one = leaf_of(x)
            inputs.append(weakref.ref(one))
            target(one, h0)
            del one
    handle.remove()
    if sum(one() is not None for one in inputs) > 1:
        gc.collect()  # what only refers to itself
    yield (
        "inputs of earlier calls that a graph holds",
        sum(one() is not None for one in inputs[:7]),
        0,
    )
    earlier = [one() for call in results[: len(results) // 8 * 7] for one in call]
    yield "results of earlier calls that are held", sum(one is not None for one in earlier), 0


@law(
    "conduct",
    {**_SMALL, "max_steps": 2, "mode": "eval", "choices": ("batch_first",)},
    question="conduct",
    share=0.2,
)
def in_threads(target: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """Called by two threads at once, in eval, each gets what it gets alone, bit for bit."""
    inputs = [x, -x]
    alone = [target(one, h0) for one in inputs]
    together, number = threading.Barrier(2), torch.get_num_threads()

    def call(one: Tensor) -> list[Results] | str:
        torch.set_num_threads(number)  # a new thread may have another, and sums in another order
        together.wait()
        try:
            with torch.no_grad():
                return [target(one, h0) for _ in range(40)]
        except Exception as error:  # now and then, where another time results are mixed up
            return str(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(call, inputs))
    finally:
        sys.setswitchinterval(interval)
    yield "results of two threads", found, [[right] * 40 for right in alone]


def shapes_of(tensors: Iterable[Tensor | None]) -> list[tuple[int, ...] | None]:
    """Return the shapes of tensors; None for what is none."""
    return [None if one is None else tuple(one.shape) for one in tensors]


@law("conduct", {**_SMALL, "seq_len": 1, "choices": ()}, question="conduct", share=0.3)
def hooks(target: Called, reference: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """Hooks run once a call: before it, after it, and in a backward pass, with all gradients."""
    ran: list[list[str]] = [[], []]
    seen: dict[str, list[tuple[int, ...] | None]] = {}
    for called, names in zip((target, reference), ran, strict=True):
        module = getattr(called, "module", called)

        def before(module: nn.Module, given: Any, names: list[str] = names) -> None:
            names.append("before")

        def after(module: nn.Module, given: Any, results: Any, names: list[str] = names) -> None:
            names.append("after")
            seen["input"], seen["output"] = shapes_of(given), shapes_of(results)

        def on_the_way_back(
            module: nn.Module, inputs: Any, outputs: Any, names: list[str] = names
        ) -> None:
            names.append("backward")
            seen["gradients of the input"] = shapes_of(inputs)
            seen["gradients of the output"] = shapes_of(outputs)

        handles = [
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after),
            module.register_full_backward_hook(on_the_way_back),
        ]
        with torch.enable_grad():
            backward(called(leaf_of(x), leaf_of(h0)))
        for handle in handles:
            handle.remove()
        called(x, h0)
        for what in ("input", "output") if called is target else ():
            gradients = f"gradients of the {what}"
            yield f"shapes of the {gradients}", seen.get(gradients), seen.get(what)
    yield "hooks that ran", ran[0], ran[1]


class Parent(nn.Module):
    """A module that holds another, and ties a parameter to one of its.

    Args:
        child: the other.
    """

    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child
        self.tied = next(child.parameters())


_NESTED = {**_SMALL, "dtypes": ("float64", "float32"), "choices": ()}


@law("conduct", _NESTED, question="conduct", share=0.3)
def nested(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Saved, loaded and copied, by itself or in a parent, it gives the same results to the bit."""
    with torch.no_grad():
        right = seeded(target, x, h0, seed)
        module = target.module
        keys = [f"child.{name}" for name in module.state_dict()]
        yield "keys in a parent", list(Parent(module).state_dict())[-len(keys) :], keys
        saved = module.state_dict()
        shared = [memory_of(saved[name]) for name, _ in module.named_parameters() if name in saved]
        yield "memory of a state_dict", shared, [memory_of(one) for one in module.parameters()]
        state = {name: one.clone() for name, one in Parent(module).state_dict().items()}
        fresh, other = Parent(build().module), build().module
        fresh.load_state_dict(state)
        other.load_state_dict(saved := {name: one.clone() for name, one in saved.items()})
        for one in (*state.values(), *saved.values()):
            one.zero_()
        for how, one in (("", other), (" in a parent", fresh.child)):
            found = seeded(target.holding(one), x, h0, seed)
            yield f"results of what it was loaded into{how}", found, right
        copied = copy.deepcopy(Parent(module))
        found = seeded(target.holding(copied.child), x, h0, seed)
        yield "results of a copy", found, right
        yield "tied parameters of a copy", copied.tied is next(copied.child.parameters()), True
        fill(copied, [one + 1 for one in copied.parameters()])
        yield "results after its copy was changed", seeded(target, x, h0, seed), right


def empty(module: nn.Module) -> None:
    """Write zeros into a module's own parameters, and not into its children's."""
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            parameter.zero_()


def modes(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A parent's train and eval."""
    for mode in (False, True):
        direct, parent = (copy.deepcopy(target.module) for _ in range(2))
        yield f"what train({mode}) returns", direct.train(mode) is direct, True
        Parent(parent).train(mode)
        results = [seeded(target.holding(one), x, h0, seed) for one in (parent, direct)]
        yield f"results after a parent's train({mode})", results[0], results[1]


def conversions(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """A parent's conversion to a dtype."""
    for dtype in (torch.float32, torch.float64):
        direct, parent = (copy.deepcopy(target.module) for _ in range(2))
        yield f"what to({dtype}) returns", direct.to(dtype) is direct, True
        Parent(parent).to(dtype)
        given = x.to(dtype), h0.to(dtype), seed
        results = [seeded(target.holding(one), *given) for one in (parent, direct)]
        yield f"results after a parent's to({dtype})", results[0], results[1]
        own, other = (
            [one.detach() for one in (*module.parameters(), *module.buffers())]
            for module in (parent, direct)
        )
        yield f"parameters after a parent's to({dtype})", own, other


def applied(target: Called) -> Iterator[Seen]:
    """A function that a parent applies to all its modules."""
    emptied = copy.deepcopy(target.module)
    Parent(emptied).apply(empty)
    left = [name for name, one in emptied.named_parameters() if one.any()]
    yield "parameters that a parent's apply passes by", left, []


def trained(target: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """What is trained, and that gradients are set to zero."""
    copied = copy.deepcopy(target.module)
    with torch.enable_grad():
        backward(target.holding(copied)(leaf_of(x), h0))
    copied.zero_grad()
    left = [
        name for name, one in copied.named_parameters() if one.grad is not None and one.grad.any()
    ]
    yield "gradients that zero_grad() passes by", left, []
    yield "what requires_grad_() returns", copied.requires_grad_(False) is copied, True
    left = [name for name, one in copied.named_parameters() if one.requires_grad]
    yield "parameters that requires_grad_(False) passes by", left, []


@law(
    "conduct",
    {**_NESTED, "choices": ("h0",)},
    question="conduct",
    share=0.3,
    parts=(modes, conversions, applied, trained),
)
def inherited() -> None:
    """What is done to its parent happens to it: modes, dtypes, functions, and what is trained."""


def new_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return other values for a module's parameters."""
    return {name: one.detach().flip(0) * 1.25 for name, one in module.named_parameters()}


def with_weights(
    build: Callable[[], Called], values: dict[str, Tensor], x: Tensor, h0: Tensor, seed: int
) -> Results:
    """Return the results of another with these weights, which was never called before."""
    fresh = build()
    fill(fresh.module, [*values.values()])
    return seeded(fresh, x, h0, seed)


def replaced_in_place(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Weights that are written to in place."""
    target(x, h0)
    values = new_weights(target.module)
    fill(target.module, [*values.values()])
    right = with_weights(build, values, x, h0, seed)
    yield "results after weights were replaced in place", seeded(target, x, h0, seed), right


def replaced_by_data(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Weights of which .data is set."""
    target(x, h0)
    values = new_weights(target.module)
    for name, value in values.items():
        target.module.get_parameter(name).data = value.clone()
    right = with_weights(build, values, x, h0, seed)
    yield "results after weights were replaced by .data", seeded(target, x, h0, seed), right


def replaced_by_parameters(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Weights in whose place a new Parameter is set."""
    target(x, h0)
    values = new_weights(target.module)
    for name, value in values.items():
        place, _, last = name.rpartition(".")
        setattr(target.module.get_submodule(place), last, nn.Parameter(value.clone()))
    right = with_weights(build, values, x, h0, seed)
    yield "results after weights were replaced by Parameters", seeded(target, x, h0, seed), right


def replaced_by_loading(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Weights that load_state_dict copies, or assigns where torch can."""
    target(x, h0)
    can_assign = "assign" in inspect.signature(nn.Module.load_state_dict).parameters
    for how in ("", "assign=True") if can_assign else ("",):
        values = new_weights(target.module)
        options = {"assign": True} if how else {}
        target.module.load_state_dict({**target.module.state_dict(), **values}, **options)
        own = dict(target.module.named_parameters()) if how else values
        copied = [name for name, one in values.items() if memory_of(own[name]) != memory_of(one)]
        yield f"what load_state_dict({how}) copies", copied, []
        right = with_weights(build, values, x, h0, seed)
        yield f"results after load_state_dict({how})", seeded(target, x, h0, seed), right


@law(
    "conduct",
    {**_SMALL, "choices": ("grad",)},
    question="conduct",
    share=0.3,
    parts=(replaced_in_place, replaced_by_data, replaced_by_parameters, replaced_by_loading),
)
def replaced() -> None:
    """Whichever way its weights are replaced, the next call goes by the new ones, bit for bit."""


@law("conduct", {**_SMALL, "choices": ()}, question="conduct", share=0.3)
def parametrised(
    target: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """A parametrisation that changes nothing, on and off again, changes nothing, bit for bit.

    Likewise pruning of nothing. A weight that is replaced meanwhile is the one that counts.
    """
    # What is made without gradients requires none, and torch.matmul goes by that in how it rounds.
    with torch.enable_grad():
        for name, one in list(target.module.named_parameters()):
            place, _, last = name.rpartition(".")
            owner, right = target.module.get_submodule(place), seeded(target, x, h0, seed)
            prune.identity(owner, last)  # type: ignore[no-untyped-call]
            yield f"results with {name} pruned", seeded(target, x, h0, seed), right
            prune.remove(owner, last)  # type: ignore[no-untyped-call]
            parametrize.register_parametrization(owner, last, nn.Identity())
            yield f"results with {name} parametrised", seeded(target, x, h0, seed), right
            with torch.no_grad():
                owner.parametrizations[last].original.copy_(one.detach().flip(0))  # type: ignore[index,union-attr]
            parametrize.remove_parametrizations(owner, last)
            fresh = build()
            fresh.module.load_state_dict(target.module.state_dict())
            yield (
                f"results after {name} was replaced",
                seeded(target, x, h0, seed),
                seeded(fresh, x, h0, seed),
            )


@functools.cache
def _casts_again(device: torch.device) -> bool:
    """Whether autocast casts again, with gradients, what it cast without; old builds do not."""
    x = torch.ones(1, 1, device=device)
    weight = nn.Parameter(x)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        with torch.no_grad():
            nn.functional.linear(x, weight)
        with torch.enable_grad():
            return nn.functional.linear(x, weight).requires_grad


def _needs_new_casts(pair: Pair) -> None:
    if not _casts_again(pair.input.device):
        raise NotApplicable("under this build's autocast, casts without gradients are used again")


@law(
    "conduct",
    {**_SMALL, "dtypes": ("float32",), "usual": True, "choices": ("autocast",)},
    question="conduct",
    share=0.3,
    needs=_needs_new_casts,
    is_refusable=True,
)
def calls_under_autocast(
    target: Called,
    fresh: Called,
    build: Callable[[], Called],
    x: Tensor,
    h0: Tensor,
    seed: int,
    autocast: str,
) -> Iterator[Seen]:
    """Under autocast, which stays on, gradients are the same after a call that records none.

    They are half as large if what goes back is half as large, down to where they vanish in
    bfloat16; and weights that were replaced count.
    """
    parameters, to = list(target.parameters()), getattr(torch, autocast)
    with torch.enable_grad(), torch.autocast(x.device.type, dtype=to):
        before = seeded(fresh, x, h0, seed)
        with torch.no_grad():
            target(x, h0)
        results = seeded(target, x, h0, seed)
        product = x[0] @ x[0].T
    yield "dtype of a product after calls", product.dtype, to
    with torch.enable_grad():
        gradients = gradients_of(results, parameters)
        right = gradients_of(before, list(fresh.parameters()))
        small = gradients_of([one * 2.0**-40 for one in results], parameters)
    yield "gradients after a call without", gradients, right
    if autocast == "bfloat16":
        large = [one if one is None else one * 2.0**40 for one in small]
        yield "gradients of results times 2**-40, times 2**40", large, gradients
    fill(target.module, [one.detach().flip(0) for one in parameters])
    other = build()
    other.module.load_state_dict(target.module.state_dict())
    # In another block: within one, torch keeps its own casts of weights.
    with torch.no_grad(), torch.autocast(x.device.type, dtype=to):
        found, expected = (seeded(module, x, h0, seed) for module in (target, other))
    yield "results after weights were replaced", found, expected
