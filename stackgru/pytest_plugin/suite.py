"""The one test function that pytest collects, parametrised over the laws.

``stackgru check`` collects this file; a user's test file gets the same function from suite_for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from stackgru.engine.run import LawRun, collect_runs
from stackgru.options import Options
from stackgru.targets.convention import Convention


def suite_for(
    target: str | Callable[..., Any] | Convention,
    *,
    kind: str | None = None,
    laws: Sequence[str] = (),
    skip: Sequence[str] = (),
    max_examples: int | None = None,
    dtypes: Sequence[str] = (),
    strict: bool = False,
) -> Callable[..., None]:
    """Return a test function that runs the laws on a target, for your own pytest.

    One line in a test file is enough: ``test_my_stack = stackgru.suite_for(MyStack)``. Options
    that pytest is given (``--stackgru-max-examples`` and so on) go before these.

    Args:
        target: the class, factory or Convention, or ``module:attr`` or ``path/file.py:attr``.
        kind: "cell" or "sequence"; found by calling it if None.
        laws: patterns of law names to run; all if empty.
        skip: patterns of law names to leave out.
        max_examples: examples a law; Hypothesis' own setting if None.
        dtypes: names of dtypes to draw from; all that the build supports if empty.
        strict: count as violations what otherwise is an answer only.

    Returns:
        A test function; the plugin parametrises it over the laws.
    """
    options = Options(
        kind=kind,
        laws=tuple(laws),
        skip=tuple(skip),
        max_examples=max_examples,
        dtypes=tuple(dtypes),
        strict=strict,
    )

    def test(stackgru_law: LawRun) -> None:
        __tracebackhide__ = True
        stackgru_law.run()

    test.stackgru_runs = functools.partial(  # type: ignore[attr-defined]
        collect_runs, target, options
    )
    return test


def test_law(stackgru_law: LawRun) -> None:
    """Run one law on the target that ``--stackgru-target`` names."""
    __tracebackhide__ = True
    stackgru_law.run()
