"""Laws of the module: what is done to one in a program, besides calling it."""

from __future__ import annotations

import copy
import gc
import inspect
import random
import sys
import threading
import weakref
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stackgru.harness.judge import Called, Seen
from stackgru.laws.helpers.plain import Results, fill, leaf_of, seeded, total
from stackgru.laws.registry import law

_SMALL = {"min_batch": 1, "max_batch": 4, "max_layers": 3, "max_steps": 3, "max_size": 16}


def seed_others(seed: int) -> tuple[object, ...]:
    """Seed Python's and, if it is imported, NumPy's generator; return their states."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    return states_of_others()


def states_of_others() -> tuple[object, ...]:
    """Return the states of Python's and, if it is imported, NumPy's generator."""
    numpy = sys.modules.get("numpy")
    state = () if numpy is None else numpy.random.get_state()
    return random.getstate(), [str(part) for part in state]


@law("conduct", {**_SMALL, "choices": ("grad", "calls")}, question="conduct", share=0.5)
def generators(
    target: Called, build: type[Called], x: Tensor, h0: Tensor, seed: int, calls: int
) -> Iterator[Seen]:
    """Python's and NumPy's generators are neither read nor moved nor seeded, in any mode.

    By building, calls, or a backward pass.
    """
    found, weights = [], []
    for other in (seed, seed + 1):
        before = seed_others(other)
        torch.manual_seed(seed)
        weights.append([parameter.detach() for parameter in build().parameters()])
        yield "generators after building", states_of_others(), before
        for _ in range(calls):
            target(x, h0)
        found.append(seeded(target, x, h0, seed))
        if found[-1][0].requires_grad:
            total(found[-1]).backward()
        yield "generators after calls", states_of_others(), before
    yield "weights with another state of Python's and NumPy's generators", weights[1], weights[0]
    yield "results with another state of Python's and NumPy's generators", found[1], found[0]


def tensors_alive() -> int:
    """Return how many tensors there are."""
    return sum(isinstance(one, Tensor) for one in gc.get_objects())


@law("conduct", {**_SMALL, "choices": ("batch_first",)}, question="conduct", share=0.1)
def released(target: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """What calls have computed is let go: of many, at most the last one's stays."""
    inputs, before = [], 0
    with torch.enable_grad():
        for number in range(8):
            one = leaf_of(x)
            inputs.append(weakref.ref(one))
            target(one, h0)
            del one
            before = before or number * tensors_alive()  # of two calls
    if tensors_alive() - before >= 6:
        gc.collect()
    yield "six calls leave six tensors or more", tensors_alive() - before >= 6, False
    held = sum(one() is not None for one in inputs)
    yield "more than one of eight inputs is held by a graph", held > 1, False


@law("conduct", {**_SMALL, "mode": "eval", "choices": ("batch_first",)}, question="conduct", share=0.3)
def in_threads(target: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """Called by two threads at once, in eval, each gets what it gets alone, bit for bit."""
    inputs = [x, -x]
    alone = [target(one, h0) for one in inputs]
    found: list[list[Results]] = [[], []]

    def call(number: int) -> None:
        with torch.no_grad():
            for _ in range(8):
                found[number].append(target(inputs[number], h0))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    try:
        for thread in threads:
            thread.start()
    finally:
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    for number, right in enumerate(alone):
        yield "calls that came to an end", len(found[number]), 8
        for results in found[number]:
            yield f"results of thread {number}", results, right


@law("conduct", {**_SMALL, "seq_len": 1, "choices": ()}, question="conduct", share=0.3)
def hooks(target: Called, reference: Called, x: Tensor, h0: Tensor) -> Iterator[Seen]:
    """Hooks run once a call: before it, after it, and in a backward pass."""
    counts = []
    for called in (target, reference):
        ran: list[str] = []
        module = getattr(called, "module", called)
        handles = [
            module.register_forward_pre_hook(lambda *_, ran=ran: ran.append("before")),  # type: ignore[misc]
            module.register_forward_hook(lambda *_, ran=ran: ran.append("after")),  # type: ignore[misc]
            module.register_full_backward_hook(lambda *_, ran=ran: ran.append("backward")),  # type: ignore[misc]
        ]
        with torch.enable_grad():
            total(called(leaf_of(x), leaf_of(h0))).backward()
        for handle in handles:
            handle.remove()
        called(x, h0)
        counts.append(ran)
    yield "hooks that ran", *counts


class Parent(nn.Module):
    """A module that holds another.

    Args:
        child: the other.
    """

    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child


@law("conduct", {**_SMALL, "dtypes": ("float64", "float32"), "choices": ()}, question="conduct", share=0.5)
def nested(
    target: Called, build: type[Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Whatever is done to its parent happens to it: modes, dtypes, copies, saving and loading."""
    with torch.no_grad():
        right = seeded(target, x, h0, seed)
        parent = copy.deepcopy(Parent(target))
        yield "results of a copy", seeded(parent.child, x, h0, seed), right
        fill(parent, [parameter + 1 for parameter in parent.parameters()])
        yield "results after its copy has changed", seeded(target, x, h0, seed), right
        fresh = Parent(build())
        fresh.load_state_dict({f"child.{name}": one for name, one in target.state_dict().items()})
        yield "results of what it was loaded into", seeded(fresh.child, x, h0, seed), right
        yield "keys through its parent", list(Parent(target).state_dict()), [
            f"child.{name}" for name in target.state_dict()
        ]
        for dtype in (torch.float32, torch.float64):
            direct, through = copy.deepcopy(target), Parent(copy.deepcopy(target))
            direct.module.to(dtype)
            through.to(dtype)
            own, other = (
                [(one.dtype, one.clone()) for one in (*module.parameters(), *module.buffers())]
                for module in (through.child, direct)
            )
            yield f"parameters after {dtype}", own, other
        for mode in (False, True):
            direct, through = copy.deepcopy(target), Parent(copy.deepcopy(target))
            direct.module.train(mode)
            through.train(mode)
            results = [seeded(one, x, h0, seed) for one in (through.child, direct)]
            yield f"results after train({mode})", *results
        emptied = Parent(copy.deepcopy(target)).apply(
            lambda module: fill(module, [0 * one for one in module.parameters()])
        )
        left = [name for name, one in emptied.named_parameters() if one.any()]
        yield "parameters that apply left out", left, []
    through = Parent(copy.deepcopy(target)).requires_grad_(False)
    yield "whether it is trained after requires_grad_(False)", [
        one.requires_grad for one in through.parameters()
    ], [False for _ in through.parameters()]


def parametrised_and_back(module: nn.Module, value: Tensor, name: str) -> None:
    """Replace a parameter while a parametrisation, the identity, is put on it, and take that off."""
    place, _, last = name.rpartition(".")
    owner = module.get_submodule(place)
    parametrize.register_parametrization(owner, last, nn.Identity())
    with torch.no_grad():
        owner.parametrizations[last].original.copy_(value)  # type: ignore[index,union-attr]
    parametrize.remove_parametrizations(owner, last)


def replace(module: nn.Module, values: dict[str, Tensor], how: str) -> None:
    """Replace the parameters of a module in one of several ways."""
    for name, value in values.items():
        place, _, last = name.rpartition(".")
        if how == "in place":
            with torch.no_grad():
                module.get_parameter(name).copy_(value)
        elif how == "by .data":
            module.get_parameter(name).data = value.clone()
        elif how == "by a new Parameter":
            setattr(module.get_submodule(place), last, nn.Parameter(value.clone()))
        elif how == "under a parametrisation":
            parametrised_and_back(module, value, name)
    if how == "by load_state_dict":
        module.load_state_dict({**module.state_dict(), **values})
    elif how == "by load_state_dict(assign=True)":
        module.load_state_dict({**module.state_dict(), **values}, assign=True)


WAYS_TO_REPLACE = (
    "in place",
    "by .data",
    "by a new Parameter",
    "by load_state_dict",
    "by load_state_dict(assign=True)",
    "under a parametrisation",
)


@law("conduct", {**_SMALL, "choices": ("grad",)}, question="conduct", share=0.5)
def replaced(
    target: Called, build: type[Called], x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Whichever way its weights are replaced, the next call goes by the new ones, bit for bit."""
    can_assign = "assign" in inspect.signature(nn.Module.load_state_dict).parameters
    target(x, h0)
    for number, how in enumerate(WAYS_TO_REPLACE):
        if "assign" in how and not can_assign:
            continue
        named = target.module.named_parameters()
        values = {name: one.detach().flip(0) * (1 + number / 8) for name, one in named}
        replace(target.module, values, how)
        fresh = build()
        replace(fresh.module, values, "in place")
        right = seeded(fresh, x, h0, seed)
        yield f"results after weights were replaced {how}", seeded(target, x, h0, seed), right
