"""Constructing a target's module: which of a case's numbers its constructor takes, and how."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from stackgru.cases.case import Case
from stackgru.options import ARGUMENTS
from stackgru.targets.convention import Convention
from stackgru.targets.importing import (
    RAISED,
    CannotBuild,
    TargetError,
    describe_error,
    place_of,
    with_article,
)

_BY_NAME = (*ARGUMENTS, "bias", "batch_first", "bidirectional", "device", "dtype")


def construct(
    convention: Convention, name: str, case: Case, device: str, **options: Any
) -> nn.Module:
    """Call a constructor with a case's numbers, and other options by nn.GRU's names.

    Raises:
        TargetError: if the constructor raises, or does not return a module.
    """
    positional, by_name = arguments_of(convention, name)
    values = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "dropout": case.dropout,
        "bias": case.bias,
        "batch_first": convention.batch_first,
        "bidirectional": False,
        "device": device,
        "dtype": case.torch_dtype,
        **options,
    }
    arguments = [values[key] for key in positional]
    keywords = {parameter: values[key] for parameter, key in by_name.items()}
    given = {*positional, *by_name.values()}
    keywords |= {key: value for key, value in options.items() if key not in given}
    keywords |= convention.constants or {}
    try:
        with warnings.catch_warnings():
            # One layer with dropout: nn.GRU warns, and so may a target.
            warnings.simplefilter("ignore")
            module = convention.factory(*arguments, **keywords)
    except RAISED as error:
        shown = [repr(value) for value in arguments]
        shown += [f"{key}={value!r}" for key, value in keywords.items()]
        kind = CannotBuild if isinstance(error, TypeError) else TargetError
        raise kind(
            f"{name}({', '.join(shown)}) raised {describe_error(error)}{place_of(error)}."
        ) from error
    if not isinstance(module, nn.Module):
        raise TargetError(f"{name} built {with_article(type(module).__name__)}, not an nn.Module.")
    return module.to(device=device, dtype=case.torch_dtype)


def names_of(factory: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names of a constructor's arguments, and whether it takes any others."""
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


def taken(convention: Convention, name: str) -> frozenset[str]:
    """Return which of a case's numbers a constructor takes; see arguments_of."""
    positional, by_name = arguments_of(convention, name)
    return frozenset((*positional, *by_name.values()))


def arguments_of(convention: Convention, name: str) -> tuple[list[str], dict[str, str]]:
    """Return which of a case's numbers a constructor takes by position, and which by keyword.

    The latter by the parameter's own name; all are names in _BY_NAME.

    Raises:
        TargetError: if it takes no sizes.
    """
    constants = convention.constants or {}
    try:
        every = list(inspect.signature(convention.factory).parameters.values())
    except (TypeError, ValueError):
        return list(convention.arguments or ARGUMENTS), {}
    parameters = [parameter for parameter in every if parameter.name not in constants]
    names = {parameter.name for parameter in parameters}
    matching = [key for key in _BY_NAME if key in names]
    if convention.arguments is None:
        by_name = _all_by_name(parameters, matching, constants)
        if by_name is not None:
            return [], {key: key for key in by_name}
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
            return list(ARGUMENTS), {}
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    by_position = list(convention.arguments or _in_order(positional))
    if convention.arguments is None and len(by_position) < 2:
        raise CannotBuild(
            f"{name}{inspect.signature(convention.factory)} cannot be built: it takes neither "
            "input_size and hidden_size by name nor (input_size, hidden_size, num_layers, dropout) "
            "by position."
        )
    extra = ARGUMENTS if convention.arguments is not None else by_position
    by_keyword = {key: key for key in matching if key not in extra}
    if constants:  # a constant may come before them, which shifts the positions
        named_by = zip(positional, by_position, strict=False)
        return [], {**{parameter.name: key for parameter, key in named_by}, **by_keyword}
    return by_position, by_keyword


def _all_by_name(
    parameters: list[inspect.Parameter], matching: list[str], constants: Mapping[str, Any]
) -> list[str] | None:
    """Return what is taken by name, if the sizes, layers and rate all are."""
    if set(ARGUMENTS) <= {*matching, *constants}:
        return matching
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        wanted = [key for key in _BY_NAME if key in matching or key in ARGUMENTS]
        return [key for key in wanted if key not in constants]
    return None


def _in_order(positional: list[inspect.Parameter]) -> list[str]:
    """Return what the parameters mean, in nn.GRU's order."""
    found = []
    for key, parameter in zip(ARGUMENTS, positional, strict=False):
        if parameter.name != key and not stands_for(key, parameter):
            break
        found.append(key)
    return found


def stands_for(key: str, parameter: inspect.Parameter) -> bool:
    """Whether a parameter of another name can be what usually comes at this position."""
    if parameter.name in _BY_NAME:
        return False
    default = parameter.default
    if default is parameter.empty:
        return True
    kinds = (int, float) if key == "dropout" else (int,)
    return isinstance(default, kinds) and not isinstance(default, bool)
