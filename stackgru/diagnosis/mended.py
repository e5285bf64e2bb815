"""A target with one thing put right: what violates a law even so has another cause."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad_mode
from torch.nn.utils.rnn import PackedSequence

from stackgru.cases.case import Case
from stackgru.diagnosis.mended_module import (
    OF_WEIGHTS,
    all_names,
    called_with,
    change_class,
    one_name_each,
    overridden,
    with_lists_renewed,
    with_usual_methods,
)
from stackgru.gru.parameters import PARAMETERS, Layer, gru_name
from stackgru.harness.gru import built_reference
from stackgru.harness.masks import Injector, Recorder, flat
from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.targets.target import Target
from stackgru.torch_settings import settings_kept, unseen

#: What is put right: the numbers of the results, with the target's own gradients; the results, and
#: with them the gradients; these, and what is drawn; what a call leaves in the module; what results
#: and arguments have in common; what a call leaves elsewhere; weights that have several names;
#: lists of weights that others have replaced; what is done to a module otherwise than by calling
#: it; weights that serve in two places; weights that are no parameters, or frozen; parameters that
#: are no weights of nn.GRU's; what a call starts from without a state.
MENDINGS = (
    *("numbers", "results", "draws", "calls", "memory", "settings", "names", "lists"),
    *("methods", "tied", "plain", "extra", "start"),
)
#: Has a tensor's version after a block be the one before it; torch 1.13 has none.
_preserve_version = getattr(grad_mode, "_unsafe_preserve_version_counter", nullcontext)
#: Since torch 2.1, whether torch.compile is looking; modes that record are nothing for it.
_is_compiling = getattr(getattr(torch, "compiler", None), "is_compiling", bool)


@dataclass(frozen=True)
class Mended(Target):
    """A target of which some things are put right in every call.

    Attributes:
        mendings: what, of MENDINGS, in turn; "calls: NAME" is what calls leave in one attribute,
            "methods: NAME" one method.
    """

    mendings: tuple[str, ...] = ()

    def build(self, case: Case, **options: Any) -> nn.Module:
        """Build the target's module, with these put right."""
        with settings_kept() if "settings" in self.mendings else nullcontext():
            module = super().build(case, **options)
        for mending in self.mendings:
            if mending in OF_WEIGHTS:
                weights = self.weights(module, case, case.directions).layers
                OF_WEIGHTS[mending](module, weights, case.bias)
        read = _reader(self, case, module)
        for mending in self.mendings:
            what, _, name = mending.partition(": ")
            if what == "methods":
                with_usual_methods(module, name)
            elif what == "names":
                change_class(module, one_name_each(type(module), module))
            elif what == "lists":
                change_class(module, with_lists_renewed(type(module), module))
            elif what not in OF_WEIGHTS:
                forward = _forward(mending, type(module), self, case, read)
                if what == "calls":
                    _call_plainly(module, forward)
                else:
                    change_class(module, {"forward": forward})
        return module


def mended(target: Target, mending: str) -> Mended:
    """Return a target with this put right as well."""
    before = target.mendings if isinstance(target, Mended) else ()
    return Mended(**{**vars(target), "mendings": (*before, mending)})


def _reader(target: Target, case: Case, module: nn.Module) -> Callable[[nn.Module], list[Layer]]:
    """Return what reads a module's weights, layer by layer: by name, as long as they have any."""
    layers = target.weights(module, case, case.directions).layers
    named = {id(one): name for name, one in all_names(module)}
    paths = [{name: named.get(id(one)) for name, one in layer.items()} for layer in layers]
    if not all(path for layer in paths for path in layer.values()):
        return lambda module: target.weights(module, case, case.directions).layers
    return lambda module: [
        {name: attrgetter(str(path))(module) for name, path in layer.items()} for layer in paths
    ]


def _call_plainly(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Have a module's call set no parameters, in it or its parts, new ones or others instead."""
    calls: list[None] = []

    def called(self: nn.Module, *given: Any) -> Any:
        calls.append(None)
        try:
            return forward(self, *given)
        finally:
            calls.pop()

    def setting(own: type[nn.Module]) -> Callable[..., None]:
        def set(self: nn.Module, name: str, value: Any) -> None:
            if not (calls and isinstance(value, nn.Parameter)):
                own.__setattr__(self, name, value)
            elif name not in self._parameters:
                vars(self)[name] = value

        return set

    for part in [*module.modules()]:
        methods = {"__setattr__": setting(type(part))}
        change_class(part, {**methods, "forward": called} if part is module else methods)


def _forward(
    mending: str,
    own: type[nn.Module],
    target: Target,
    case: Case,
    read: Callable[[nn.Module], list[Layer]],
) -> Callable[..., Any]:
    """Return the forward method of a module of which something is put right."""

    def alone(self: nn.Module, *given: Any) -> Any:
        weights = [(one, one.requires_grad, one.detach().clone()) for one in self.parameters()]
        gradients = {one: _copy(one.grad) for one, *_ in weights if one.is_leaf}
        results = own.forward(_copied(self, self), *given)
        with suppress(RuntimeError):  # torch.func's weights do not tell what is in them
            for one, is_trained, before in weights:
                one.requires_grad_(is_trained)
                if not torch.equal(one, before):
                    one.data.copy_(before)
            for one, gradient in gradients.items():
                if gradient is None or one.grad is None:
                    one.grad = gradient
                elif not torch.equal(one.grad, gradient):
                    one.grad.copy_(gradient)
        return results

    def in_its_mode(self: nn.Module, *given: Any) -> Any:
        before = {part: part.training for part in self.modules()}
        results = own.forward(self, *given)
        for part, mode in before.items():
            part.training = mode
        return results

    def without(self: nn.Module, *given: Any) -> Any:
        place, _, name = mending.removeprefix("calls: ").rpartition(".")
        owner = self.get_submodule(place)
        holder = owner._buffers if name in owner._buffers else vars(owner)
        had, before = name in holder, _copied(self, holder.get(name))
        results = own.forward(self, *given)
        if had:
            holder[name] = before
        else:
            holder.pop(name, None)
        return results

    def copied(self: nn.Module, *given: Any) -> Any:
        copies = [*map(_copy, given)]
        with ExitStack() as stack:
            for one in copies:
                stack.enter_context(_unwritten(one))
            output, hn = own.forward(self, *copies)
            return _copy(output), _copy(hn)  # before what was written to these is undone

    def started(self: nn.Module, input: Any, h0: Tensor | None = None) -> Any:
        return own.forward(self, input, _zeros(target, case, input) if h0 is None else h0)

    def between(self: nn.Module, *given: Any) -> Any:
        with settings_kept():
            return own.forward(self, *given)

    def replaced(self: nn.Module, *given: Any) -> Any:
        drops = self.training and case.drops and not _is_compiling()
        before, with_gradients = torch.get_rng_state(), torch.is_grad_enabled()
        with Recorder() if drops else nullcontext() as recorder:
            results = own.forward(self, *given)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        with unseen(), torch.set_grad_enabled(with_gradients):
            kept = _unwrapped(flat(recorder.draws)) if recorder else None
            right = _right(target, case, self, read(self), given, kept)
        torch.set_rng_state(after)
        put_right = _with_numbers if mending == "numbers" else _laid_out
        return tuple(map(put_right, results, right))

    def redrawn(self: nn.Module, *given: Any) -> Any:
        before = torch.get_rng_state()
        with unseen(), settings_kept():
            results = own.forward(self, *given)
        torch.set_rng_state(before)
        return tuple(map(_laid_out, results, _right(target, case, self, read(self), given)))

    if mending.startswith("calls: "):
        return in_its_mode if mending == "calls: training" else without
    others = {"calls": alone, "memory": copied, "settings": between, "start": started}
    return {**others, "draws": redrawn}.get(mending, replaced)


def _zeros(target: Target, case: Case, input: Any) -> Tensor:
    """Return what nn.GRU starts from without a state."""
    data = input.data if isinstance(input, PackedSequence) else input
    rows: tuple[int, ...] = tuple(data.shape[:1] if target.kind == "cell" else data.shape[1:-1])
    if isinstance(input, PackedSequence):
        rows = (int(input.batch_sizes[0]),)
    elif target.kind == "sequence" and case.batch_first and data.dim() > 2:
        rows = tuple(data.shape[:1])
    return data.new_zeros(case.num_layers * case.directions, *rows, case.hidden_size)


def left_behind(target: Target, case: Case) -> list[str]:
    """Return the names of what calls change in a module, which are its own and no weights."""
    pair, found = Pair(target, case), []
    for mode in ("eval", "train"):
        pair.module.train(mode == "train")
        before = _attributes(_copied(pair.module, pair.module))
        with suppress(Violated):
            pair.run()
        after = _attributes(pair.module)
        found += [name for name in after if name not in before or after[name] != before[name]]
    return found


def changed_methods(target: Target, case: Case) -> list[str]:
    """Return the names of the methods of nn.Module that a target's module or its parts override."""
    return sorted({name for part in target.build(case).modules() for name in overridden(part)})


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return what a module and its parts hold, but for weights and what every module has."""
    usual = {*vars(nn.Module())} - {"training"}
    found: dict[str, Any] = {}
    for place, part in module.named_modules():
        for name, value in {**vars(part), **part._buffers}.items():
            if name not in usual and not isinstance(value, (nn.Module, nn.Parameter)):
                # The modes of all parts are one thing.
                name = "training" if name == "training" else f"{place}.{name}".lstrip(".")
                found[name] = found.get(name, ()), _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Return a value as what can be compared."""
    if isinstance(value, Tensor):
        return str(value.dtype), repr(value.detach().tolist())  # in which NaN is the same
    if isinstance(value, dict):
        return [(_plain(key), _plain(one)) for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _copied(module: nn.Module, value: Any) -> Any:
    """Return a copy of what a module holds, with its own weights, and with the graphs it has."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        memo |= {id(one): one for one in part._parameters.values()}
        memo |= {id(one): one for one in _of_graphs(vars(part))}
    return copy.deepcopy(value, memo)


def _of_graphs(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value that cannot be copied, since a graph gave them."""
    if isinstance(value, Tensor) and value.grad_fn is not None:
        yield value
    elif isinstance(value, (dict, list, tuple, set)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _of_graphs(one)


def _unwrapped(value: Tensor) -> Tensor:
    """Return a tensor as it is outside torch.func's transforms."""
    functorch: Any = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(value):
        value = functorch.get_unwrapped(value)
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.clone())
    return None if value is None else value.clone(memory_format=torch.contiguous_format)


@contextmanager
def _unwritten(value: Any) -> Iterator[None]:
    """Undo what is written to an argument, for the backward pass as well."""
    tensor = value.data if isinstance(value, PackedSequence) else value
    if (
        tensor is None or _is_compiling() or torch._C._get_tracing_state()
    ):  # what is in it is unknown
        yield
        return
    before = tensor.detach().clone()
    with nullcontext() if tensor.is_inference() else _preserve_version(tensor):
        yield
    with suppress(RuntimeError):  # torch.func's tensors do not tell what is in them
        if not torch.equal(tensor, before):
            tensor.data.copy_(before)


def _with_numbers(own: Any, right: Any) -> Any:
    """Return a result with the right numbers and its own graph."""
    if isinstance(right, PackedSequence):
        return right._replace(data=_with_numbers(own.data, right.data))
    nothing = torch.where(own.isfinite(), own - own.detach(), torch.zeros_like(own))
    return _laid_out(own, right.detach() + nothing)  # to the bit


def _laid_out(own: Any, right: Any) -> Any:
    """Return a right result that lies in memory as the target's own does."""
    if isinstance(right, PackedSequence):
        return right._replace(data=_laid_out(own.data, right.data))
    if right.shape != own.shape or right.stride() == own.stride():
        return right
    result = torch.empty_strided(own.shape, own.stride(), dtype=right.dtype, device=right.device)
    return result.copy_(right)


def _right(
    target: Target,
    case: Case,
    module: nn.Module,
    layers: list[Layer],
    given: Any,
    kept: Tensor | None = None,
) -> Any:
    """Return what nn.GRU gives with a module's weights, for what the module is given.

    Under the masks that the module drew, if they are as many as nn.GRU's.
    """
    has_bias = any({*PARAMETERS[2:]} & {*layer} for layer in layers)
    reference = built_reference(case, case.bias and has_bias, target).train(module.training)
    weights: dict[str, Tensor] = {}
    for name, value in reference.named_parameters():
        weights[name] = torch.zeros_like(value)
    for index, layer in enumerate(layers):
        weights |= {gru_name(name, index, case.directions): one for name, one in layer.items()}
    input, *state = given
    input = input if target.kind == "sequence" else input[None]
    call = partial(called_with, reference, weights, input, *state)
    if kept is None:
        output, hn = call()
    else:
        before = torch.get_rng_state()
        with Injector(kept) as injector:
            output, hn = call()
        if not injector.complete:
            torch.set_rng_state(before)
            output, hn = call()
    return output if target.kind == "sequence" else output[0], hn
