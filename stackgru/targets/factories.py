"""Factories of one line for constructors of other widths: equal ones, a list, or a sum."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from stackgru.options import ARGUMENTS
from stackgru.targets.construct import stands_for
from stackgru.targets.convention import Convention

#: What a constructor may take for input_size and for hidden_size, as Python.
_WIDTHS: tuple[tuple[str, str], ...] = (
    ("hidden_size", "hidden_size"),  # it works only if both are equal
    ("input_size", "[hidden_size] * num_layers"),
    ("input_size", "hidden_size * num_layers"),
)
_VALUES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "[hidden_size] * num_layers": lambda given: [given["hidden_size"]] * given["num_layers"],
    "hidden_size * num_layers": lambda given: given["hidden_size"] * given["num_layers"],
    **{name: itemgetter(name) for name in ARGUMENTS},
}


@dataclass(frozen=True)
class Factory:
    """A function that builds a target from nn.GRU's sizes.

    Attributes:
        convention: the target's, with the function as its factory.
        code: the function as one line of Python, ``def MINE(...): return ...``.
    """

    convention: Convention
    code: str


def factories(convention: Convention, name: str) -> Iterator[Factory]:
    """Yield factories of a target whose constructor may take other widths."""
    own = name.rpartition(":")[2]
    constants = convention.constants or {}
    for widths in _WIDTHS:
        given = *widths, *_others(convention, widths)
        names = tuple(one for one in ARGUMENTS if any(one in text for text in given))
        shown = ", ".join([*given, *(f"{key}={value!r}" for key, value in constants.items())])
        function = _function(convention, names, given)
        yield Factory(
            replace(convention, factory=function, arguments=names, constants=None),
            f"def MINE({', '.join(names)}): return {own}({shown})",
        )


def _others(convention: Convention, widths: tuple[str, str]) -> Iterator[str]:
    """Yield what a constructor takes after the widths: num_layers, unless they show it; dropout."""
    try:
        parameters = inspect.signature(convention.factory).parameters.values()
    except (TypeError, ValueError):
        return
    free = [one for one in parameters if one.name not in (convention.constants or {})]
    expected = ARGUMENTS[3:] if "[" in widths[1] else ARGUMENTS[2:]
    for key, parameter in zip(expected, free[2:], strict=False):
        if parameter.name != key and not stands_for(key, parameter):
            return
        yield key


def _function(
    convention: Convention, names: tuple[str, ...], given: tuple[str, ...]
) -> Callable[..., Any]:
    """Return a function of these names that calls the constructor with these arguments."""

    def build(*values: Any) -> Any:
        by_name = dict(zip(names, values, strict=True))
        arguments = [_VALUES[text](by_name) for text in given]
        return convention.factory(*arguments, **(convention.constants or {}))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    build.__signature__ = signature  # type: ignore[attr-defined]
    return build
