"""A target with one thing put right: what violates a law even so has another cause."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _python_dispatch

from stackgru.cases.case import Case
from stackgru.gru.parameters import PARAMETERS, gru_name
from stackgru.harness.gru import built_reference
from stackgru.targets.target import Target
from stackgru.torch_settings import settings_kept

#: What is put right: the numbers of the results, with the target's own gradients; the results, and
#: with them the gradients; these, and what is drawn; what a call leaves in the module; what results
#: and arguments have in common; what a call leaves elsewhere; weights that have several names.
MENDINGS = ("numbers", "results", "draws", "calls", "memory", "settings", "names")


@dataclass(frozen=True)
class Mended(Target):
    """A target of which some things are put right in every call.

    Attributes:
        mendings: what, of MENDINGS, in turn.
    """

    mendings: tuple[str, ...] = ()

    def build(self, case: Case, **options: Any) -> nn.Module:
        """Build the target's module, with these put right."""
        with settings_kept() if "settings" in self.mendings else nullcontext():
            module = super().build(case, **options)
        for mending in self.mendings:
            own = type(module)
            if mending == "names":
                methods = _one_name_each(own, module)
            else:
                methods = {"forward": _forward(mending, own, self, case)}
            module.__class__ = type(own.__name__, (own,), methods)
        return module


def mended(target: Target, mending: str) -> Mended:
    """Return a target with this put right as well."""
    before = target.mendings if isinstance(target, Mended) else ()
    return Mended(**{**vars(target), "mendings": (*before, mending)})


def _forward(mending: str, own: type[nn.Module], target: Target, case: Case) -> Callable[..., Any]:
    """Return the forward method of a module of which something is put right."""

    def alone(self: nn.Module, *given: Any) -> Any:
        kept = [one for part in self.modules() for one in part._parameters.values()]
        return own.forward(copy.deepcopy(self, {id(one): one for one in kept}), *given)

    def copied(self: nn.Module, *given: Any) -> Any:
        output, hn = own.forward(self, *map(_copy, given))
        return _copy(output), _copy(hn)

    def between(self: nn.Module, *given: Any) -> Any:
        with settings_kept():
            return own.forward(self, *given)

    def replaced(self: nn.Module, *given: Any) -> Any:
        is_of_draws, before = mending == "draws", torch.get_rng_state()
        with _unseen(is_of_draws), settings_kept() if is_of_draws else nullcontext():
            results = own.forward(self, *given)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        with _unseen(not is_of_draws):
            right = _right(target, case, self, given)
        if not is_of_draws:
            torch.set_rng_state(after)
        put_right = _with_numbers if mending == "numbers" else _laid_out
        return tuple(map(put_right, results, right))

    return {"calls": alone, "memory": copied, "settings": between}.get(mending, replaced)


def _one_name_each(own: type[nn.Module], module: nn.Module) -> dict[str, Callable[..., Any]]:
    """Return methods of a module in which what replaces a weight does so under all its names.

    Raises:
        ValueError: if each has one name.
    """
    named = [*module.named_parameters(remove_duplicate=False)]
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


def _unseen(is_unseen: bool) -> AbstractContextManager[object]:
    """Return a context in which nobody records or replaces what is drawn, if it is to be so."""
    without = getattr(_python_dispatch, "_disable_current_modes", nullcontext)
    return without() if is_unseen else nullcontext()


def _copy(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.clone())
    return None if value is None else value.clone(memory_format=torch.contiguous_format)


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


def _right(target: Target, case: Case, module: nn.Module, given: Any) -> Any:
    """Return what nn.GRU gives with a module's weights, for what the module is given."""
    layers = target.weights(module, case, case.directions).layers
    has_bias = any({*PARAMETERS[2:]} & {*layer} for layer in layers)
    reference = built_reference(case, case.bias and has_bias, target).train(module.training)
    weights: dict[str, Tensor] = {}
    for name, value in reference.named_parameters():
        weights[name] = torch.zeros_like(value)
    for index, layer in enumerate(layers):
        weights |= {gru_name(name, index, case.directions): one for name, one in layer.items()}
    input, *state = given
    if target.kind == "sequence":
        return torch.func.functional_call(reference, weights, (input, *state))
    output, hn = torch.func.functional_call(reference, weights, (input[None], *state))
    return output[0], hn
