"""The one test function that pytest collects, parametrised over the laws.

``stackgru check`` collects this file; a user's test file gets the same function from suite_for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackgru.engine.run import LawRun
from stackgru.options import Options, read_fields
from stackgru.targets.convention import Convention


def suite_for(
    target: str | Callable[..., Any] | Convention,
    options: Options | None = None,
    **fields: Any,
) -> Callable[..., None]:
    """Return a test function that runs the laws on a target, for your own pytest.

    One line in a test file is enough: ``test_my_stack = stackgru.suite_for(MyStack)``. What is
    given to pytest (``--stackgru max-examples=30`` and so on) wins over what is given here, which
    wins over pytest's ini keys (``stackgru_max_examples`` and so on).

    Args:
        target: the class, factory or Convention, or ``module:attr`` or ``path/file.py:attr``.
        options: what the run is to do, as an Options.
        **fields: fields of Options, which win over options: laws, skip, strict, known, kind,
            arguments, state, returns, time_axis, device, max_examples, profile, dtypes, seed,
            timeout, shrink, report, shrink_seconds.

    Returns:
        A test function; the plugin parametrises it over the laws.

    Raises:
        UsageError: if there is no such field, or its value is wrong.
    """

    def test(stackgru_law: LawRun) -> None:
        __tracebackhide__ = True
        stackgru_law.run()

    test.stackgru_suite = (target, read_fields(fields, options))  # type: ignore[attr-defined]
    return test


def test_law(stackgru_law: LawRun) -> None:
    """Run one law on the target that ``--stackgru target=`` names."""
    __tracebackhide__ = True
    stackgru_law.run()
