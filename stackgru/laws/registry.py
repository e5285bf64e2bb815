"""The laws, and the registry that holds them.

A law is a plain function of torch; its docstring is its statement. See stackgru.harness.judge for
what it takes and gives. One that compares with bounds of its own, or under several orders of masks,
is a function of a Pair, and raises Violated where the statement does not hold.
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
from stackgru.harness.judge import Statement, judge, judge_parts
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.values import of_itself
from stackgru.laws.names import NAMES
from stackgru.options import KINDS
from stackgru.outcomes import Violated
from stackgru.targets.foreign import OutsideTorch

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
CATALOGUE_VERSION = 5
_laws: dict[str, Law] = {}


@dataclass(frozen=True)
class Law:
    """A named statement that holds for every case of its domain.

    Attributes:
        name: as users write it, with dashes.
        family: values, randomness, divergence, gradients, conduct, transforms, or one of your own.
        question: the question that a violation in training answers with "no": "training", "seeds",
            "sequences", "gradients", "conduct" or "drop-in".
        statement: the docstring, on one line.
        check: raises Violated where the statement does not hold.
        source: the function that is the law, for scripts; None if it is no plain one.
        module: where it is written.
        file: likewise.
        domains: from stackgru.cases; the law's domain is the union of these.
        decides: the question that is answered with "yes" only if this law was tried; "" if none.
        kinds: the kinds of target it applies to.
        half: the kinds it is tried on in half precision.
        share: its part of the number of examples: less than 1 if one costs much, or shows much.
        strict: whether it is checked only with ``--strict``.
        stateful: whether the state machine of stackgru.laws.life tries it.
        without_state: whether it calls the target without a state.
        prepare: loads what torch loads late, before the law's time begins: a module whose import
            is cut off stays half made.
        parts: plain functions that make it up, if it is no plain one itself.
    """

    name: str
    family: str
    question: str
    statement: str
    check: Callable[[Pair], None]
    source: Statement | None
    module: str
    file: str
    domains: tuple[Mapping[str, Any], ...]
    decides: str
    kinds: tuple[str, ...]
    half: tuple[str, ...]
    share: float
    strict: bool
    stateful: bool
    without_state: bool
    prepare: Callable[[], object]
    parts: tuple[Statement, ...] = ()

    @property
    def abilities(self) -> frozenset[str]:
        """What it needs of a target, of stackgru.targets.foreign.ABILITIES."""
        found = {"gradients"} if "gradients" in (self.family, self.question) else set()
        found |= {"transforms"} if self.family == "transforms" else set()
        return frozenset(found) | _ABILITIES.get(self.name, frozenset())

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with this package, and is none of the user's own."""
        return self.module.startswith("stackgru.laws.")

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


#: What laws need of a target besides; see Law.abilities.
_ABILITIES = {
    name: frozenset({ability})
    for ability, names in {
        "gradients": ("hooks", "released", "life", "calls-under-autocast"),
        "transforms": ("meta", "parametrised"),
        "autocast": ("autocast",),
        "empty batches": ("empty-batch",),
        "threads": ("in-threads",),
    }.items()
    for name in names
}


def _never(case: Case) -> bool:
    """Return False: any case may be somebody's."""
    return False


def law(
    *given: str | Mapping[str, Any],
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
    is_refusable: bool = False,
    is_edge: Callable[[Case], bool] = _never,
    is_of_itself: bool = False,
    parts: tuple[Statement, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a law: one of this package's, or of your own.

    In a conftest.py it is a law of all suites there, in a test file of that file's.

    Args:
        *given: the family, "own" if omitted, and the domains, from stackgru.cases; the law is tried
            on cases of each. All cases if there are none.
        question: see Law, as for the next ones.
        decides: likewise.
        kinds: likewise.
        half: likewise.
        share: likewise.
        strict: likewise.
        stateful: likewise.
        without_state: likewise.
        prepare: likewise.
        needs: raises NotApplicable if the law cannot be tried on a pair; False if there is nothing
            to try.
        is_refusable: whether a target may raise where it is called, as for an edge input.
        is_edge: whether nobody has such a case: a difference makes edge inputs "no".
        is_of_itself: whether it compares the target with itself, whose rounding need not be that
            of nn.GRU.
        parts: plain laws that make it up, one tried after the other; the function itself has the
            docstring. If it is of a Pair it yields in words what is known to differ, and what
            differs first in each part is noted as refused.

    Returns:
        A decorator, which leaves the function as it is.

    Raises:
        ValueError: if another law has that name.
    """
    families = [one for one in given if isinstance(one, str)] or ["own"]
    domains = tuple(one for one in given if not isinstance(one, str)) or ({},)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name, family = function.__name__.replace("_", "-"), families[0]
        if name in _laws and _laws[name].file != inspect.getfile(function):
            raise ValueError(f"two laws are called {name!r}")
        statement = " ".join((inspect.getdoc(function) or "").split())
        is_plain = "pair" not in inspect.signature(function).parameters
        check: Callable[[Pair], None] = functools.partial(_tried, function)
        if is_plain:
            check = functools.partial(judge, parts or (function,), needs, is_refusable, is_edge)
        elif parts:
            check = functools.partial(judge_parts, function, parts)
        if is_of_itself:
            check = functools.partial(of_itself, check=check)
        check = functools.partial(_as_far_as_evaluated, check)
        if not function.__module__.startswith("stackgru.laws."):
            NAMES[name] = (family, question)
        _laws[name] = Law(
            name,
            family,
            question,
            statement,
            check,
            function if is_plain and not parts else None,
            function.__module__,
            inspect.getfile(function),
            domains,
            decides,
            kinds,
            half,
            share,
            strict,
            stateful,
            without_state,
            prepare,
            parts,
        )
        return function

    return register


def _as_far_as_evaluated(check: Callable[[Pair], None], pair: Pair) -> None:
    """Try a law until it asks for what cannot be done where the target is evaluated."""
    __tracebackhide__ = True
    try:
        check(pair)
    except Exception as error:
        is_number = isinstance(error, Violated) and error.violation.difference is not None
        reason: BaseException | None = error if pair.target.is_foreign and not is_number else None
        while reason is not None and not isinstance(reason, OutsideTorch):
            reason = reason.__cause__ or reason.__context__
        if reason is None:
            raise
        pair.remark = f"as far as it is evaluated outside torch: {reason}"


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
    # Families may have been imported in any order; a user's own laws come last.
    rank = {f"stackgru.laws.{module}": place for place, module in enumerate(_MODULES)}
    every = sorted(_laws.items(), key=lambda item: rank.get(item[1].module, len(rank)))
    return dict(every)
