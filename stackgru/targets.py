"""Targets: loading one by name, building it for a case, finding out its kind."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases import Case
from stackgru.finding import find_layers
from stackgru.loading import TargetError, import_target, named
from stackgru.torch_settings import settings_kept

KINDS = ("cell", "sequence")

#: The constructor's arguments that a case sets, in the order in which they are given by position.
_BY_POSITION = ("input_size", "hidden_size", "num_layers", "dropout")
_BY_NAME = (*_BY_POSITION, "bias", "batch_first", "device", "dtype")

# Sizes that differ from each other, so that a result's shape tells what it is.
_PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=5, seq_len=6, dtype="float32")


@dataclass(frozen=True)
class Target:
    """The implementation under test.

    Attributes:
        name: what it is called in reports, ``module:attr`` or ``path/file.py:attr``.
        factory: the class or function that builds it.
        kind: "cell" or "sequence".
        accepts: which of num_layers, dropout and bias it can be built with.
        takes_no_state: whether it may be called without a state.
        device: where it is built.
        options: which of batch_first and bidirectional it can be built with.
    """

    name: str
    factory: Callable[..., Any]
    kind: str
    accepts: frozenset[str]
    takes_no_state: bool
    device: str = "cpu"
    options: frozenset[str] = frozenset()

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
        module = build(self.factory, self.name, case, self.device, **options)
        return module.train(case.mode == "train")


def load(spec: str | Callable[..., Any], *, kind: str | None = None, device: str = "cpu") -> Target:
    """Load a target and find out what it is.

    Args:
        spec: ``module:attr``, ``path/file.py:attr``, or the class or factory itself.
        kind: "cell" or "sequence"; found by calling it if None.
        device: where it is built.

    Returns:
        The target.

    Raises:
        TargetError: if it cannot be imported, built or called, or its weights are not found.
    """
    if isinstance(spec, str):
        name, factory = spec, import_target(spec)
    else:
        named_by = spec if hasattr(spec, "__qualname__") else type(spec)
        name = f"{named_by.__module__}:{named_by.__qualname__}"
        factory = spec
    if isinstance(factory, nn.Module):
        raise TargetError(
            f"{name} is a module that is already built; name its class or a factory of it."
        )
    if not callable(factory):
        raise TargetError(f"{name} is not callable: it is {_a(type(factory).__name__)}.")
    _check_device(device)
    positional, by_name = _arguments(factory, name)
    accepts = frozenset((*positional, *by_name)) & {"num_layers", "dropout", "bias"}
    probe = _PROBE if "num_layers" in accepts else replace(_PROBE, num_layers=1)
    with torch.random.fork_rng(devices=[]), settings_kept():
        module = build(factory, name, probe, device).eval()
        find_layers(module, probe, name)
        found = _find_kind(module, probe, name, kind, device)
        options = _options(factory, name, probe, device) if found == "sequence" else []
    return Target(
        name=name,
        factory=factory,
        kind=found,
        accepts=accepts,
        takes_no_state=_takes_no_state(module),
        device=device,
        options=frozenset(options),
    )


def build(
    factory: Callable[..., Any], name: str, case: Case, device: str, **options: Any
) -> nn.Module:
    """Call a constructor with a case's numbers; see Target.build."""
    positional, by_name = _arguments(factory, name)
    values = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "dropout": case.dropout,
        "bias": case.bias,
        "batch_first": False,
        "device": device,
        "dtype": case.torch_dtype,
        **options,
    }
    arguments = [values[key] for key in positional]
    keywords = {key: values[key] for key in by_name}
    keywords |= {key: value for key, value in options.items() if key not in positional}
    try:
        with warnings.catch_warnings():
            # One layer with dropout: nn.GRU warns, and so may a target.
            warnings.simplefilter("ignore")
            module = factory(*arguments, **keywords)
    except Exception as error:
        shown = [repr(value) for value in arguments]
        shown += [f"{key}={value!r}" for key, value in keywords.items()]
        raise TargetError(f"{name}({', '.join(shown)}) raised {named(error)}.") from error
    if not isinstance(module, nn.Module):
        raise TargetError(f"{name} built {_a(type(module).__name__)}, not an nn.Module.")
    return module.to(device=device, dtype=case.torch_dtype)


def _options(factory: Callable[..., Any], name: str, case: Case, device: str) -> Iterator[str]:
    """Yield the options of nn.GRU that a constructor names, itself or where it passes on to."""
    named_options, passes_on = _named_by(factory)
    for option in ("batch_first", "bidirectional"):
        if option in named_options:
            yield option
        elif passes_on:  # a function: what it builds tells whether it was heeded
            with contextlib.suppress(TargetError):
                module = build(factory, name, case, device, **{option: True})
                if getattr(module, option, False) is True:
                    yield option


def _named_by(factory: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names of a constructor's arguments, and whether it takes others as well."""
    names: set[str] = set()
    constructors = [factory]
    if isinstance(factory, type):
        constructors = [vars(one)["__init__"] for one in factory.__mro__ if "__init__" in vars(one)]
    for constructor in constructors:
        try:
            parameters = inspect.signature(constructor).parameters.values()
        except (TypeError, ValueError):
            return names, False
        names |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return names, False
    return names, True


def _takes_no_state(module: nn.Module) -> bool:
    """Whether the module may be called with the input alone."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    required = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return len(required) <= 1


def _check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"device {device!r} cannot be used: {named(error)}.") from error


def _arguments(factory: Callable[..., Any], name: str) -> tuple[list[str], list[str]]:
    """Return which of a case's numbers a constructor takes by position, and which by name."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return list(_BY_POSITION), []
    kinds = {parameter.kind for parameter in parameters}
    names = {parameter.name for parameter in parameters}
    matching = [key for key in _BY_NAME if key in names]
    if {"input_size", "hidden_size", "num_layers", "dropout"} <= names:
        return [], matching
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return [], [key for key in _BY_NAME if key in names or key in _BY_POSITION]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return list(_BY_POSITION), []
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    by_position = []
    for key, parameter in zip(_BY_POSITION, positional, strict=False):
        if parameter.name != key and not _stands_for(key, parameter):
            break
        by_position.append(key)
    if len(by_position) < 2:
        raise TargetError(
            f"{name}{inspect.signature(factory)} cannot be built: it takes neither input_size and "
            "hidden_size by name nor (input_size, hidden_size, num_layers, dropout) by position."
        )
    return by_position, [key for key in matching if key not in by_position]


def _stands_for(key: str, parameter: inspect.Parameter) -> bool:
    """Whether a parameter of another name can be what stands at this position by custom."""
    if parameter.name in _BY_NAME:
        return False
    default = parameter.default
    if default is parameter.empty:
        return True
    kinds = (int, float) if key == "dropout" else (int,)
    return isinstance(default, kinds) and not isinstance(default, bool)


def _find_kind(module: nn.Module, case: Case, name: str, kind: str | None, device: str) -> str:
    """Call the module as a sequence and as a cell; the shapes of the results tell which it is."""
    candidates = ("sequence", "cell") if kind is None else (kind,)
    seen, nearly = [], []
    for candidate in candidates:
        rows = (case.batch,) if candidate == "cell" else (case.seq_len, case.batch)
        input = torch.zeros(*rows, case.input_size, device=device)
        h0 = torch.zeros(case.num_layers, case.batch, case.hidden_size, device=device)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = module(input, h0)
        except Exception as error:
            seen.append(f"as a {candidate} it raised {named(error)}")
            continue
        if not _is_pair(result):
            seen.append(f"as a {candidate} it gave {_described(result)}")
        elif result[0].shape != (*rows, case.hidden_size):
            seen.append(f"as a {candidate} it gave an output of shape {tuple(result[0].shape)}")
        elif result[1].shape == h0.shape:
            return candidate
        else:
            nearly.append(candidate)  # a state of a wrong shape is for the laws to show
    if nearly:
        return nearly[-1]
    expected = {
        "cell": "(B, I), (L, B, H) -> (B, H), (L, B, H)",
        "sequence": "(T, B, I), (L, B, H) -> (T, B, H), (L, B, H)",
    }
    wanted = " or ".join(f"as a {candidate}, {expected[candidate]}" for candidate in candidates)
    raise TargetError(f"{name} cannot be called {wanted}: {'; '.join(seen)}.")


def _is_pair(result: object) -> bool:
    return (
        isinstance(result, Sequence)
        and len(result) == 2
        and all(isinstance(part, Tensor) for part in result)
    )


def _described(result: object) -> str:
    if isinstance(result, Tensor):
        return f"one tensor of shape {tuple(result.shape)}, not an output and a state"
    if isinstance(result, Sequence):
        return f"{len(result)} things, not an output and a state"
    return _a(type(result).__name__)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
