"""The laws, and the registry that holds them.

A law is a plain function of a Pair; its docstring is its statement, and it raises Violated where
the statement does not hold.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackgru.cases.case import Case
from stackgru.harness.judge import Statement, judge
from stackgru.harness.pair import Pair
from stackgru.options import KINDS

_MODULES = (
    "values",
    "magnitudes",
    "layouts",
    "randomness",
    "divergence",
    "gradients",
    "results",
    "conduct",
    "module",
    "drop_in",
    "refusals",
    "life",
    "transforms",
)
#: Rises when the statement or the domain of a law changes, or a law is added or removed.
CATALOGUE_VERSION = 4
_laws: dict[str, Law] = {}


@dataclass(frozen=True)
class Law:
    """A named statement that holds for every case of its domain.

    Attributes:
        name: as users write it, with dashes.
        family: values, randomness, divergence, gradients, conduct or transforms.
        question: the question that a violation in training answers with "no": "training", "seeds",
            "sequences", "gradients", "conduct" or "drop-in".
        statement: the docstring, on one line.
        check: raises Violated where the statement does not hold.
        source: the function that is the law, for scripts; None if it is no plain one.
        module: where it is written.
        domains: arguments of strategies.cases; the law's domain is the union of these.
        decides: the question that is answered with "yes" only if this law was tried; "" if none.
        kinds: the kinds of target it applies to.
        half: the kinds it is tried on in half precision.
        share: its part of the number of examples; less than 1 if one example costs much.
        strict: whether it is checked only with ``--strict``.
        stateful: whether the state machine of stackgru.laws.life tries it.
        without_state: whether it calls the target without a state.
        prepare: loads what torch loads late, before the law's time begins: a module whose import
            is cut off stays half made.
    """

    name: str
    family: str
    question: str
    statement: str
    check: Callable[[Pair], None]
    source: Statement | None
    module: str
    domains: tuple[Mapping[str, Any], ...]
    decides: str
    kinds: tuple[str, ...]
    half: tuple[str, ...]
    share: float
    strict: bool
    stateful: bool
    without_state: bool
    prepare: Callable[[], object]

    @property
    def compares_values(self) -> bool:
        """Whether a violation may have a first wrong step, layer and gate."""
        return self.family == "values"

    def answered_by(self, case: Case, is_refusal: bool = False) -> str:
        """Return the question that a violation, or a refusal, in this case answers with "no"."""
        if self.question == "drop-in":
            return self.question
        if is_refusal:
            return "edge inputs"
        # The smallest case is in eval wherever the law fails there too.
        if case.mode != "eval" or self.question in ("gradients", "conduct"):
            return self.question
        return "seeds" if self.family == "randomness" else "values"


def law(
    family: str,
    *domains: Mapping[str, Any],
    question: str = "training",
    decides: str = "",
    kinds: tuple[str, ...] = KINDS,
    half: tuple[str, ...] = KINDS,
    share: float = 1.0,
    strict: bool = False,
    stateful: bool = False,
    without_state: bool = False,
    prepare: Callable[[], object] = bool,
    needs: Callable[[Pair], object] = bool,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a law; see Law for the arguments."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__.replace("_", "-")
        if name in _laws:
            raise ValueError(f"two laws are called {name!r}")
        statement = " ".join((inspect.getdoc(function) or "").split())
        is_plain = "target" in inspect.signature(function).parameters
        check = functools.partial(_tried, function)
        if is_plain:
            check = functools.partial(judge, function, needs)
        _laws[name] = Law(
            name,
            family,
            question,
            statement,
            check,
            function if is_plain else None,
            function.__module__,
            domains,
            decides,
            kinds,
            half,
            share,
            strict,
            stateful,
            without_state,
            prepare,
        )
        return function

    return register


def _tried(function: Callable[[Pair], None], pair: Pair) -> None:
    """Run a law that is a function of a pair."""
    __tracebackhide__ = True
    with pair.settings():
        function(pair)


def importing(*names: str) -> Callable[[], None]:
    """Return a function that imports those of the modules that this build of torch has."""

    def prepare() -> None:
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    return prepare


def deciding(question: str) -> tuple[str, ...]:
    """Return the names of all laws that decide a question."""
    return tuple(law.name for law in all_laws().values() if question and law.decides == question)


def all_laws() -> dict[str, Law]:
    """Return every law by its name, family by family."""
    for module in _MODULES:
        importlib.import_module(f"stackgru.laws.{module}")
    # Families may have been imported in any order.
    rank = {f"stackgru.laws.{module}": place for place, module in enumerate(_MODULES)}
    every = sorted(_laws.items(), key=lambda item: rank.get(item[1].module, len(rank)))
    return dict(every)
