"""The laws, and the registry that holds them.

A law is a plain function of a Pair; its docstring is its statement, and it raises Violated where
the statement does not hold.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackgru.harness.pair import Pair
from stackgru.options import KINDS

_MODULES = (
    "values",
    "magnitudes",
    "layouts",
    "randomness",
    "divergence",
    "gradients",
    "conduct",
    "refusals",
    "life",
    "transforms",
)
#: Rises when the statement or the domain of a law changes, or a law is added or removed.
CATALOGUE_VERSION = 1
_laws: dict[str, Law] = {}


@dataclass(frozen=True)
class Law:
    """A named statement that holds for every case of its domain.

    Attributes:
        name: as users write it, with dashes.
        family: values, randomness, divergence, gradients, conduct or transforms.
        question: what a violation answers: "gradients" or "conduct", or where the smallest case is
            one of training "training", "seeds" or "sequences".
        statement: the docstring, on one line.
        check: raises Violated where the statement does not hold.
        domains: arguments of strategies.cases; the law's domain is the union of these.
        kinds: which kinds of target it is about.
        half: which kinds it is tried on in half precision.
        share: part of the examples a law that it gets; less than 1 where one example costs much.
        strict: whether it counts only with ``--strict``.
        stateful: whether it is tried by the state machine of stackgru.laws.life.
    """

    name: str
    family: str
    question: str
    statement: str
    check: Callable[[Pair], None]
    domains: tuple[Mapping[str, Any], ...]
    kinds: tuple[str, ...]
    half: tuple[str, ...]
    share: float
    strict: bool
    stateful: bool


def law(
    family: str,
    *domains: Mapping[str, Any],
    question: str = "training",
    kinds: tuple[str, ...] = KINDS,
    half: tuple[str, ...] = KINDS,
    share: float = 1.0,
    strict: bool = False,
    stateful: bool = False,
) -> Callable[[Callable[[Pair], None]], Callable[[Pair], None]]:
    """Register a function as a law; see Law for the arguments."""

    def register(check: Callable[[Pair], None]) -> Callable[[Pair], None]:
        name = check.__name__.replace("_", "-")
        statement = " ".join((inspect.getdoc(check) or "").split())
        _laws[name] = Law(
            name,
            family,
            question,
            statement,
            check,
            domains,
            kinds,
            half,
            share,
            strict,
            stateful,
        )
        return check

    return register


def all_laws() -> dict[str, Law]:
    """Return every law by its name, family by family."""
    for module in _MODULES:
        importlib.import_module(f"stackgru.laws.{module}")
    # Families may have been imported in any order.
    rank = {f"stackgru.laws.{module}": place for place, module in enumerate(_MODULES)}
    every = sorted(_laws.items(), key=lambda item: rank.get(item[1].check.__module__, len(rank)))
    return dict(every)
