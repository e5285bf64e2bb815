"""Stage two of shrinking: plain numbers in place of random ones, wherever the violation stays.

Hypothesis has found the smallest case; its numbers are still random. Each of them is now drawn from
zero, one, a few short decimals, itself rounded to fewer and more digits, and itself, in this order,
and Hypothesis' own shrinker looks for the first of these that it can have everywhere. Of a case of
too many numbers whole tensors become zeros first; what is left may be few enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from hypothesis import Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, NoSuchExample

from stackgru.cases.case import Case
from stackgru.cases.tensors import is_literal, numbers_of, with_numbers
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law
from stackgru.options import DEFAULT_SHRINK_SECONDS
from stackgru.outcomes import NotApplicable, Violated, Violation
from stackgru.targets.target import Target

_PLAIN = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
_DIGITS = (1, 2, 3, 6)
_TRIES = 5  # what a race does shows now and then

#: What is drawn for each tensor: its numbers, or one that is 0 where it becomes zeros.
_Choice = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Simplified:
    """What came of stage two.

    Attributes:
        case: the case, with its numbers where they are given.
        violation: what the law finds there.
        seconds: how long it took.
        before: how many digits all numbers had together.
        after: how many they have now.
    """

    case: Case
    violation: Violation
    seconds: float
    before: int
    after: int


def simplify(
    target: Target,
    law: Law,
    case: Case,
    *,
    strict: bool = False,
    seconds: float = DEFAULT_SHRINK_SECONDS,
    accepts: Callable[[Case, Violation], bool] | None = None,
) -> Simplified | None:
    """Put the plainest numbers into a case that still show its violation, and meet ``accepts``.

    It stops after so many seconds. None if the case does not show the violation again.
    """
    started = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        tries = (violation_in(target, law, case, strict=strict) for _ in range(_TRIES))
        seen = next((one for one in tries if one is not None), None)
        if seen is None:
            return None
        best: Case = case

        def shown(drawn: Case) -> Violation | None:
            violation = violation_in(target, law, drawn, strict=strict)
            if violation is None or (accepts is not None and not accepts(drawn, violation)):
                return None
            return violation

        goes_on = True
        while goes_on and time.monotonic() < started + seconds:
            found = _search(*_plainer(best), shown, started + seconds)
            if found is None:
                break
            goes_on = is_literal(found[0]) and not is_literal(best)
            best, seen = found
    spent = round(time.monotonic() - started, 3)
    return Simplified(best, seen, spent, _digits(numbers_of(case)), _digits(numbers_of(best)))


def violation_in(target: Target, law: Law, case: Case, *, strict: bool) -> Violation | None:
    """Return the violation that a case shows, or None if it shows none."""
    try:
        law.check(Pair(target, case, strict=strict))
    except Violated as error:
        return replace(error.violation, law=law.name, case=str(case))
    except NotApplicable:
        return None
    return None


def _search(
    choices: st.SearchStrategy[_Choice],
    chosen: Callable[[_Choice], Case],
    shown: Callable[[Case], Violation | None],
    until: float,
) -> tuple[Case, Violation] | None:
    """Return the case with the plainest numbers found, and its violation."""
    seen: dict[Case, Violation] = {}

    def shows(choice: _Choice) -> bool:
        # Once time is over nothing new is tried; what was seen stays seen, as it is tried again.
        case = chosen(choice)
        if case in seen:
            return True
        if time.monotonic() > until:
            return False
        violation = shown(case)
        if violation is not None:
            seen[case] = violation
        return violation is not None

    how = settings(
        max_examples=1000,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
    )
    try:
        best = chosen(find(choices, shows, settings=how))
    except (NoSuchExample, Flaky):  # a flaky target keeps its numbers
        return None
    return best, seen[best]


def _plainer(
    case: Case,
) -> tuple[st.SearchStrategy[_Choice], Callable[[_Choice], Case]]:
    """Return what may become of each tensor that is not zeros, and the case that this makes."""
    numbers = numbers_of(case)
    zeros = {name: flat for name, flat in numbers.items() if not any(flat)}
    left = {name: flat for name, flat in numbers.items() if name not in zeros}
    if is_literal(case):
        total = sum(map(len, left.values()))
        drawn = {
            name: st.tuples(*(_choices(value, total) for value in flat))
            for name, flat in left.items()
        }
        return st.fixed_dictionaries(drawn), lambda choice: with_numbers(case, {**zeros, **choice})
    # 0 is for zeros, anything else for what was drawn; often enough all stay as they were drawn.
    kept = st.integers(0, len(left)).map(lambda one: (float(one),))

    def zeroed(choice: _Choice) -> Case:
        new = {name: (0.0,) * len(numbers[name]) for name, (one,) in choice.items() if not one}
        return with_numbers(case, {**zeros, **new})

    return st.fixed_dictionaries(dict.fromkeys(left, kept)), zeroed


def _choices(value: float, total: int) -> st.SearchStrategy[float]:
    """Values for a number, the plainest first; the number itself often enough to start from it."""
    plain = list(dict.fromkeys([*_PLAIN, *_rounded(value)]))
    largest = len(plain) * max(2, total // 2)
    return st.integers(0, largest).map(lambda i: plain[i] if i < len(plain) else value)


def _rounded(value: float) -> Iterator[float]:
    for digits in _DIGITS:
        yield float(f"{value:.{digits}g}")


def _digits(numbers: Mapping[str, tuple[float, ...]]) -> int:
    """Return how many digits these numbers have, all together, as they are written."""
    return sum(
        sum(map(str.isdigit, repr(value).removesuffix(".0")))
        for flat in numbers.values()
        for value in flat
    )
