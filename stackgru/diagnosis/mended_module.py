"""A module of which something is put right as it is built: its weights, and its methods."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from inspect import isfunction
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.gru.parameters import PARAMETERS, Layer

#: Methods that every module has its own of, or without which it is not the same module.
_OWN = ("__init__", "__getattr__", "__setattr__", "__delattr__", "forward")
#: Methods by which modules are copied and pickled, where nn.Module has none.
_COPYING = {
    "__copy__": None,
    "__deepcopy__": None,
    "__getstate__": lambda self: dict(vars(self)),
    "__reduce__": object.__reduce__,
}

#: Classes that were made here, as long as there is a module of theirs.
_MADE: weakref.WeakValueDictionary[int, type] = weakref.WeakValueDictionary()


def change_class(module: nn.Module, methods: dict[str, Any]) -> None:
    """Give a module other methods; it can be copied and pickled as before."""
    own = type(module)

    def reduced(self: nn.Module, protocol: Any) -> Any:
        how: Any = own.__reduce_ex__(self, protocol)
        return (_instance, (id(made),), *how[2:]) if how[1] == (made,) else how

    made = type(own.__name__, (own,), {"__reduce_ex__": reduced, **methods})
    _MADE[id(made)] = made
    module.__class__ = made


def _instance(number: int) -> Any:
    """Return a new instance of a class that was made here, for copy and pickle."""
    return object.__new__(_MADE[number])


def _untie(module: nn.Module, layers: list[Layer], bias: bool) -> None:
    """Give each place in a module weights of its own.

    Raises:
        ValueError: if the layers have as many weights as nn.GRU's.
    """
    weights = {id(one) for layer in layers for one in layer.values()}
    if len(weights) == len(layers) * len(PARAMETERS if bias else PARAMETERS[:2]):
        raise ValueError("no weight serves in two places")
    met: set[int] = set()
    for part in [*module.modules()]:
        for own in (part._modules, part._parameters):
            for name, one in own.items():
                if one is not None and id(one) in met:
                    own[name] = copy.deepcopy(one)  # type: ignore[assignment]
                met.add(id(one))


def _take_for_parameters(module: nn.Module, layers: list[Layer], bias: bool) -> None:
    """Make parameters of the tensors that a module holds, and have all of them trained.

    Raises:
        ValueError: if the layers have as many as nn.GRU's, each a parameter that is trained.
    """
    weights = [one for layer in layers for one in layer.values()]
    trained = [one for one in weights if isinstance(one, nn.Parameter) and one.requires_grad]
    if len(trained) == len(layers) * len(PARAMETERS if bias else PARAMETERS[:2]):
        raise ValueError("every weight is a parameter, and trained")
    for part in module.modules():
        for holder in (vars(part), part._buffers):
            plain = {name: one for name, one in holder.items() if isinstance(one, Tensor)}
            for name, one in plain.items():
                del holder[name]
                value = one.detach().clone()
                part.register_parameter(name, nn.Parameter(value, value.is_floating_point()))
    for weight in module.parameters():
        weight.requires_grad_(weight.is_floating_point())


def _without_others(module: nn.Module, layers: list[Layer], bias: bool) -> None:
    """Make plain tensors of a module's parameters but for nn.GRU's weights.

    Raises:
        ValueError: if there are no others.
    """
    names = PARAMETERS if bias else PARAMETERS[:2]
    weights = {id(layer[name]) for layer in layers for name in names if name in layer}
    others = [name for name, one in module.named_parameters() if id(one) not in weights]
    if not others:
        raise ValueError("it has no other parameters")
    for place, _, name in (one.rpartition(".") for one in others):
        part, value = (
            module.get_submodule(place),
            module.get_parameter(f"{place}.{name}".lstrip(".")),
        )
        delattr(part, name)
        setattr(part, name, value.detach())


OF_WEIGHTS = {"tied": _untie, "plain": _take_for_parameters, "extra": _without_others}


def with_usual_methods(module: nn.Module, only: str) -> None:
    """Give a module and its parts torch's own methods in place of those that they override.

    Args:
        module: the module.
        only: the name of the one that is replaced; "" for all.

    Raises:
        ValueError: if there is none.
    """
    found = {part: overridden(part, only) for part in module.modules()}
    if not any(found.values()):
        raise ValueError("no method of torch's is overridden")
    for part, methods in found.items():
        if methods:
            change_class(part, methods)


def overridden(module: nn.Module, only: str = "") -> dict[str, Any]:
    """Return torch's own methods by the names of those that a module has others of."""
    classes = type(module).__mro__
    base = next(one for one in classes if one.__module__.startswith("torch."))
    torchs = [vars(one) for one in base.__mro__ if issubclass(one, nn.Module)]
    own = [
        one for one in classes[: classes.index(base)] if not one.__module__.startswith("stackgru.")
    ]
    names = (name for methods in torchs for name, one in methods.items() if isfunction(one))
    usual = {name: getattr(base, name) for name in names}
    return {
        name: method
        for name, method in {**_COPYING, **usual}.items()
        if only in ("", name) and name not in _OWN and any(name in vars(one) for one in own)
    }


def all_names(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return a module's parameters under all names that they have, as torch 1.13 does not."""
    return [
        (f"{place}.{name}".lstrip("."), one)
        for place, part in module.named_modules(remove_duplicate=False)
        for name, one in part._parameters.items()
        if one is not None
    ]


def called_with(gru: nn.GRU, weights: dict[str, Tensor], *given: Any) -> Any:
    """Return what a new nn.GRU gives with other weights, whose gradients they get."""
    if hasattr(torch, "func"):  # since torch 2.0
        return torch.func.functional_call(gru, weights, given)
    for name, value in weights.items():
        delattr(gru, name)
        setattr(gru, name, value)
    return gru(*given)


def one_name_each(own: type[nn.Module], module: nn.Module) -> dict[str, Callable[..., Any]]:
    """Return methods of a module in which what replaces a weight does so under all its names.

    Raises:
        ValueError: if each has one name.
    """
    named = all_names(module)
    others = {
        name: [other for other, two in named if two is one and other != name]
        for name, one in named
        if name in module._parameters
    }
    if not any(others.values()):
        raise ValueError("each weight has one name")

    def replace(self: nn.Module, name: str, value: Any) -> None:
        for other in others[name]:
            place, _, last = other.rpartition(".")
            self.get_submodule(place)._parameters[last] = value

    def set(self: nn.Module, name: str, value: Any) -> None:
        nn.Module.__setattr__(self, name, value)
        if name in others:
            replace(self, name, value)

    def forward(self: nn.Module, *given: Any) -> Any:
        for name in others:
            if name not in self._parameters:  # it is parametrised or pruned
                replace(self, name, getattr(self, name))
        return own.forward(self, *given)

    return {"__setattr__": set, "forward": forward}


def with_lists_renewed(own: type[nn.Module], module: nn.Module) -> dict[str, Callable[..., Any]]:
    """Return methods of a module in which lists of weights follow those that the module has.

    Raises:
        ValueError: if there are none.
    """
    names = {id(one): name for name, one in module.named_parameters()}
    held = [
        (place, attribute, type(value), [names[id(one)] for one in value])
        for place, part in module.named_modules()
        for attribute, value in vars(part).items()
        if isinstance(value, (list, tuple)) and value and all(id(one) in names for one in value)
    ]
    if not held:
        raise ValueError("it has no lists of weights")

    def forward(self: nn.Module, *given: Any) -> Any:
        for place, attribute, kind, paths in held:
            weights = kind(attrgetter(path)(self) for path in paths)
            vars(self.get_submodule(place))[attribute] = weights
        return own.forward(self, *given)

    return {"forward": forward}
