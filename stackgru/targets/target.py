"""Targets: loading one by name, building it for a case, finding its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from stackgru.cases.case import Case
from stackgru.options import UsageError
from stackgru.targets.construct import a, adapt, construct, own_module
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import find_weights
from stackgru.targets.importing import TargetError, import_target, named
from stackgru.targets.probe import TargetInfo, probe
from stackgru.targets.suggest import advice
from stackgru.targets.weights import DirectWeights

KINDS = ("cell", "sequence")


@dataclass(frozen=True)
class Target:
    """The implementation under test.

    Attributes:
        name: what it is called in reports, ``module:attr`` or ``path/file.py:attr``.
        convention: how it is built and called.
        kind: "cell" or "sequence".
        accepts: which of num_layers, dropout and bias it can be built with.
        takes_no_state: whether it may be called without a state.
        device: where it is built.
        options: which of batch_first and bidirectional it can be built with.
        layers: how many it has, where it is not built with num_layers.
        rate: its dropout probability, where it is not built with one.
        words: the options of ``stackgru check`` that tell its convention, where its name does not;
            None where only a Convention can.
    """

    name: str
    convention: Convention
    kind: str
    accepts: frozenset[str]
    takes_no_state: bool
    device: str = "cpu"
    options: frozenset[str] = frozenset()
    layers: int | None = None
    rate: float | None = None
    words: tuple[str, ...] | None = ()

    @property
    def factory(self) -> Callable[..., Any]:
        """The class or function that builds it."""
        return self.convention.factory

    def build(self, case: Case, **options: Any) -> nn.Module:
        """Build the module for a case, in its dtype and mode.

        Args:
            case: gives sizes, layers, rate, bias, dtype and mode.
            **options: other arguments of the constructor, by nn.GRU's names.

        Returns:
            The module, with its own initial weights.

        Raises:
            TargetError: if the constructor raises, or gives something other than a module.
        """
        module = construct(self.convention, self.name, case, self.device, **options)
        return adapt(module, self.convention, case.num_layers).train(case.mode == "train")

    def weights(self, module: nn.Module, case: Case, directions: int = 1) -> DirectWeights:
        """Find the weights of a module that build gave, or of a copy of it; see find_weights."""
        function = self.convention.weights
        own = own_module(module)
        return find_weights(own, case, self.name, function=function, directions=directions)

    def fitted(self, case: Case) -> Case:
        """Return the case with the layers and the rate that the target has, where it has its own.

        Args:
            case: whose other numbers are kept.
        """
        layers = case.num_layers if self.layers is None else self.layers
        rate = case.dropout if self.rate is None else self.rate
        return replace(case, num_layers=layers, dropout=rate)


def load(
    spec: str | Callable[..., Any] | Convention,
    *,
    kind: str | None = None,
    device: str = "cpu",
    told: Mapping[str, Any] | None = None,
) -> Target:
    """Load a target and find out what it is.

    Args:
        spec: ``module:attr``, ``path/file.py:attr``, or the class, factory or convention itself.
        kind: "cell" or "sequence"; found by calling it if None.
        device: where it is built.
        told: fields of its convention, where it is no Convention itself.

    Returns:
        The target.

    Raises:
        TargetError: if it cannot be imported, built or called, or its weights are not found.
        UsageError: if a field is told of a target that is a convention.
    """
    found = import_target(spec) if isinstance(spec, str) else spec
    is_convention = isinstance(found, Convention)
    if is_convention and told:
        raise UsageError(
            f"{_name(spec)} is a Convention, which says itself what {', '.join(told)} would say."
        )
    convention = found if isinstance(found, Convention) else None
    factory = found if convention is None else convention.factory
    name = _name(spec)
    if isinstance(factory, nn.Module):
        raise TargetError(
            f"{name} is a module that is already built; name its class or a factory of it."
        )
    if not callable(factory):
        raise TargetError(f"{name} is not callable: it is {a(type(factory).__name__)}.")
    convention = convention or Convention(factory, **(told or {}))
    _check_device(device)
    try:
        probed = probe(convention, name, kind, device)
    except TargetError as error:
        hint = advice(convention, name, kind, device, error, as_options=not is_convention)
        raise type(error)(f"{error}{hint}") from error
    words: tuple[str, ...] | None = convention.words
    if is_convention and isinstance(spec, str):
        words = ()
    elif convention.constants or convention.weights is not None:
        words = None
    return _target(convention, name, probed, device, words)


def _target(
    convention: Convention,
    name: str,
    probed: TargetInfo,
    device: str,
    words: tuple[str, ...] | None,
) -> Target:
    return Target(
        name=name,
        convention=convention,
        kind=probed.kind,
        accepts=probed.accepts,
        takes_no_state=probed.takes_no_state,
        device=device,
        options=probed.options,
        layers=probed.layers,
        rate=probed.rate,
        words=words,
    )


def _name(spec: str | Callable[..., Any] | Convention) -> str:
    if isinstance(spec, str):
        return spec
    factory = spec.factory if isinstance(spec, Convention) else spec
    named_by = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named_by.__module__}:{named_by.__qualname__}"


def _check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"device {device!r} cannot be used: {named(error)}.") from error
