"""Judging a law that is a plain function of torch: what it saw is compared with what should be.

Such a law takes ``target`` and ``reference``, modules that are called as nn.GRU is whatever the
case's form, ``x`` and ``h0``, ``build``, which builds another target, and whatever else it chooses
by the names of the case's fields. It yields what it looks at, what it observed and what it
expected.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.harness.pair import Pair
from stackgru.outcomes import NotApplicable, Violated, assert_equal
from stackgru.targets.importing import describe_error

Seen = tuple[str, Any, Any]
Statement = Callable[..., Iterator[Seen]]


class Called(nn.Module):
    """A module that is called as nn.GRU is, with (T, B, I) and (D L, B, H) or no state.

    Args:
        module: the target's own module, or nn.GRU.
        call: calls it.
    """

    def __init__(self, module: nn.Module, call: Callable[..., tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.module = module
        self._call = call
        self.training = module.training  # without telling the module

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and hn."""
        return self._call(self.module, x, *state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Called:
        return self.holding(copy.deepcopy(self.module, memo))

    def holding(self, module: nn.Module) -> Called:
        """Return another module that is called in the same way."""
        return Called(module, self._call)


def judge(statement: Statement, needs: Callable[[Pair], object], pair: Pair) -> None:
    """Raise a violation if a law does not hold for a pair.

    Args:
        statement: the law.
        needs: raises NotApplicable if it cannot be tried.
        pair: the pair.

    Raises:
        Violated: what differs first, or what torch raised though it does not for nn.GRU.
        NotApplicable: if it does for nn.GRU as well.
    """
    __tracebackhide__ = True
    needs(pair)
    try:
        with pair.in_context():
            for what, observed, expected in statement(**_arguments(statement, pair)):
                assert_same(what, observed, expected)
    except (Violated, NotApplicable):
        raise
    except Exception as error:
        _assert_holds_for_reference(statement, pair)
        raise Violated(f"the target raised {describe_error(error)}; nn.GRU does not") from error


def _assert_holds_for_reference(statement: Statement, pair: Pair) -> None:
    """Raise NotApplicable if a law cannot be tried on nn.GRU itself."""
    try:
        with pair.in_context():
            arguments = _arguments(statement, pair)
            reference = copy.deepcopy(pair.reference)
            arguments["target"] = Called(reference, _calling_gru(pair))
            for _ in statement(**arguments):
                pass
    except Exception as error:
        raise NotApplicable(f"nn.GRU itself raised {describe_error(error)}") from error


def seen_differently(statement: Statement, pair: Pair) -> Seen | None:
    """Return the first thing that a law sees otherwise than it should be."""
    with pair.in_context():
        for what, observed, expected in statement(**_arguments(statement, pair)):
            try:
                assert_same(what, observed, expected)
            except Violated:
                return what, observed, expected
    return None


def _arguments(statement: Statement, pair: Pair) -> dict[str, Any]:
    """Return the arguments that a law asks for by their names."""
    available: dict[str, Callable[[], Any]] = {
        "target": lambda: Called(pair.module, _calling(pair)),
        "reference": lambda: Called(pair.reference, _calling_gru(pair)),
        "x": lambda: pair.as_argument(pair.input),
        "h0": lambda: pair.as_argument(pair.h0),
        "build": lambda: lambda: _built(pair),
        "strict": lambda: pair.strict,
    }
    return {
        name: available[name]() if name in available else getattr(pair.case, name)
        for name in inspect.signature(statement).parameters
    }


def _built(pair: Pair) -> Called:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pair.target.build(replace(pair.case))
    return Called(module, _calling(pair))


def _calling(pair: Pair) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(module: nn.Module, x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        if pair.kind == "sequence":
            return pair.call(x, *state, module=module)
        outputs = []
        for step in x:
            output, hn = pair.call(step, *state, module=module)
            outputs.append(output)
            state = (hn,)
        # What a single step gives is its own, and not a copy.
        return (torch.stack(outputs) if len(outputs) > 1 else output[None]), hn

    return call


def _calling_gru(pair: Pair) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(module: nn.Module, x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = pair.form.of(module)(x, *state)
        return output, hn

    return call


def assert_same(what: str, observed: Any, expected: Any) -> None:
    """Raise a violation if two values differ; tensors to the bit, also those in a tuple or list."""
    __tracebackhide__ = True
    if has_tensors(observed) and isinstance(expected, (tuple, list)):
        if len(observed) != len(expected):
            raise Violated(f"{what}: got {len(observed)}, expected {len(expected)}")
        for number, (own, other) in enumerate(zip(observed, expected, strict=True)):
            assert_same(f"{what} {number}", own, other)
    elif isinstance(observed, Tensor) and isinstance(expected, Tensor):
        if observed.shape != expected.shape or observed.dtype != expected.dtype:
            found, right = (f"{one.dtype} {tuple(one.shape)}" for one in (observed, expected))
            raise Violated(f"{what}: got {found}, expected {right}")
        assert_equal(observed, expected, what=what)
    elif observed is not expected and observed != expected:
        raise Violated(f"{what}: got {_shown(observed)}, expected {_shown(expected)}")


def has_tensors(value: Any) -> bool:
    """Whether a value is a tuple or list with a tensor in it."""
    return isinstance(value, (tuple, list)) and any(
        isinstance(one, Tensor) or has_tensors(one) for one in value
    )


def _shown(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
