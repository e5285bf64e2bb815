"""Target: the implementation under test; loading it by name, building it, finding its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from stackgru.bounds.formats import arithmetic
from stackgru.cases.case import Case
from stackgru.options import DTYPES, UsageError
from stackgru.targets.adapter import adapt, own_module
from stackgru.targets.construct import construct
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import find_weights
from stackgru.targets.foreign import Foreign
from stackgru.targets.importing import TargetError, describe_error, import_target, with_article
from stackgru.targets.probe import TargetInfo, probe
from stackgru.targets.suggest import advice
from stackgru.targets.weights import DirectWeights


@dataclass(frozen=True)
class Target(TargetInfo):
    """The implementation under test.

    Attributes:
        name: what it is called in reports, ``module:attr`` or ``path/file.py:attr``.
        convention: how it is built and called.
        device: where it is built.
        cli_options: the options of ``stackgru check`` for its convention and device, if its name
            does not; None if only a Convention can.
        found: where the layers' weights were found by trying, in words; None if nothing was tried.
    """

    name: str
    convention: Convention
    device: str = "cpu"
    cli_options: tuple[str, ...] | None = ()
    found: str | None = None

    @property
    def factory(self) -> Callable[..., Any]:
        """The class or function that builds it."""
        return self.convention.factory

    def bounds(self) -> AbstractContextManager[None]:
        """Return a context in which bounds allow its arithmetic what its convention says."""
        convention = self.convention
        return arithmetic(convention.activation_error, flushes=convention.flush_to_zero)

    @property
    def lacks(self) -> frozenset[str]:
        """What it cannot do as it is evaluated outside torch; see Foreign."""
        return getattr(self.factory, "lacks", frozenset()) if self.is_foreign else frozenset()

    @property
    def is_foreign(self) -> bool:
        """Whether it is evaluated outside torch."""
        return isinstance(self.factory, type) and issubclass(self.factory, Foreign)

    @property
    def limits(self) -> dict[str, str]:
        """What it does not support, such as a dtype or bias=False, and why."""
        bias = {"bias=False": self.refused_bias} if self.refused_bias else {}
        widths = "input_size other than hidden_size"
        width = {widths: "it cannot be called then"} if self.has_one_width else {}
        given, error = {}, self.convention.activation_error
        if error:
            off = f"they are off by up to {error:g} absolutely in float32"
            given["exact activations"] = f"what holds does so given that {off}"
        if self.convention.flush_to_zero:
            given["subnormal numbers"] = "what holds does so given that they are taken for zero"
        return {**given, **dict(self.refused_dtypes), **bias, **width}

    @property
    def unseen(self) -> tuple[str, ...]:
        """What cannot be seen as it is called."""
        return self.convention.unseen

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
        for name in ("batch_first", "bidirectional"):
            if getattr(case, name):
                options.setdefault(name, True)
        own = construct(self.convention, self.name, case, self.device, **options)
        module = adapt(own, self.convention, case.num_layers)
        module.train(case.mode == "train")  # which may return None
        return module

    def weights(self, module: nn.Module, case: Case, directions: int = 1) -> DirectWeights:
        """Find the weights of a module that build gave, or of a copy of it; see find_weights."""
        function = self.convention.weights
        own = own_module(module)
        return find_weights(own, case, self.name, function=function, directions=directions)

    def fitted(self, case: Case) -> Case:
        """Return the case with the target's own sizes, layers and rate, if those are fixed.

        Where subnormal numbers are zero, no such weight meets an infinite number: inf 0 is NaN.
        """
        layers = case.num_layers if self.layers is None else self.layers
        rate = case.dropout if self.rate is None else self.rate
        wide, hidden = self.convention.fitted_sizes(case.input_size, case.hidden_size)
        case = replace(case, num_layers=layers, dropout=rate, input_size=wide, hidden_size=hidden)
        is_nan = "inf:" in case.not_finite and case.weights in ("tiny", "subnormal")
        return replace(case, weights="usual") if is_nan and self.convention.flush_to_zero else case


def load(
    spec: str | Callable[..., Any] | Convention,
    *,
    kind: str | None = None,
    device: str = "cpu",
    fields: Mapping[str, Any] | None = None,
    dtypes: Sequence[str] = (),
) -> Target:
    """Load a target and find out what it is.

    Args:
        spec: ``module:attr``, ``path/file.py:attr``, or the class, factory or convention itself.
        kind: "cell" or "sequence"; found by calling it if None.
        device: where it is built.
        fields: fields of its convention, if it is not a Convention itself.
        dtypes: names of the dtypes in which it is tried; empty for all.

    Raises:
        TargetError: if it cannot be imported, built or called, or its weights are not found.
        UsageError: if fields are given for a target that is a Convention.
    """
    found = import_target(spec) if isinstance(spec, str) else spec
    name = name_of(spec)
    is_convention = isinstance(found, Convention)
    if isinstance(found, Convention):
        if fields:
            given = ", ".join(fields)
            raise UsageError(
                f"{name} is a Convention; set {given} in it instead of passing an option."
            )
        convention = found
    else:
        convention = Convention(found, **(fields or {}))
    _check_factory(convention.factory, name)
    _check_device(device)
    try:
        info = probe(convention, name, kind, device, dtypes or DTYPES)
    except TargetError as error:
        hint = advice(convention, name, kind, device, error, as_options=not is_convention)
        raise type(error)(f"{error}{hint}") from error
    if not info.is_exact:  # unless it is called otherwise, the laws show what is wrong
        wrong = TargetError(f"{name} gives a state of another shape than nn.GRU's.")
        hint = advice(convention, name, kind, device, wrong, as_options=not is_convention)
        if hint:
            raise TargetError(f"{wrong}{hint}")
    cli_options = () if is_convention and isinstance(spec, str) else convention.cli_options
    if cli_options is not None and device != "cpu":
        cli_options = (*cli_options, "--device", device)
    if info.tried is not None:
        convention = replace(convention, weights=info.tried)
    return Target(
        **vars(info),
        name=name,
        convention=convention,
        device=device,
        cli_options=cli_options,
        found=None if info.tried is None else str(info.tried),
    )


def _check_factory(factory: object, name: str) -> None:
    if isinstance(factory, nn.Module):
        raise TargetError(
            f"{name} is a module that is already built; name its class or a factory of it."
        )
    if not callable(factory):
        raise TargetError(f"{name} is not callable: it is {with_article(type(factory).__name__)}.")


def name_of(spec: str | Callable[..., Any] | Convention) -> str:
    """Return what a target is called in reports."""
    if isinstance(spec, str):
        return spec
    factory = spec.factory if isinstance(spec, Convention) else spec
    named_by = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named_by.__module__}:{named_by.__qualname__}"


def _check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        # For a device that is known and not there, torch lists all of its kernels.
        why = describe_error(error).partition(". ")[0].removesuffix(".")
        raise TargetError(
            f"device {device!r} cannot be used with torch {torch.__version__} here: {why}."
        ) from error
