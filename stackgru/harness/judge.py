"""Judging a law that is a plain function of torch: what it saw is compared with what should be.

Such a law takes ``target`` and ``reference``, modules that are called as nn.GRU is whatever the
case's form, ``x`` and ``h0``, and whatever else it chooses by the names of the case's fields. It
may ask for more:

- ``build`` builds another target, ``factory`` is the class or function that it is built by;
- ``own`` is the target's own module, whatever it is called like;
- ``fresh`` is another target with the same weights, which nobody has called;
- ``construct(**options)`` builds one with other arguments, by nn.GRU's names;
- ``unchecked`` is the target, called once whatever x is, whose results nobody looks at;
- ``within(x, h0)`` gives how far two right outputs, and two right states, may lie apart;
- ``kind`` is the target's: a cell may be given a list of steps as ``x``;
- ``takes_no_state`` is whether it can be called without a state;
- ``settings()`` gives torch's settings, and those of the process, by name;
- ``strict`` is whether what is normally only reported counts.

It yields what it looks at, what it observed, what it expected, and how far these may lie apart if
not equal to the bit. A law that looks at one thing may return the two.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair, TargetRaised, unwarned
from stackgru.harness.reference import expected, reference_masks
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.adapter import ConventionMismatch, own_module
from stackgru.targets.importing import RAISED, describe_error
from stackgru.torch_settings import settings_known, settings_read

#: What a law looks at, what it observed, what it expected, and maybe how far the two may lie apart.
Seen = tuple[str, Any, Any] | tuple[str, Any, Any, Any]
Statement = Callable[..., Iterator[Seen] | tuple[Any, Any]]
#: Gives how far two right outputs and states may lie apart.
Within = Callable[..., tuple[Any, Any]]
#: What a law of a user's own raises on nn.GRU as well, and torch does not where it refuses.
_MISTAKES = (NameError, AttributeError, LookupError, TypeError)
_STEPS, _LAYERS = ("step", "row", "unit"), ("layer", "row", "unit")


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


def judge(
    statements: Sequence[Statement],
    needs: Callable[[Pair], object],
    is_refusable: bool,
    is_edge: Callable[[Case], bool],
    pair: Pair,
) -> None:
    """Raise a violation if a law does not hold for a pair.

    Args:
        statements: the law, or its parts.
        needs: raises NotApplicable if it cannot be tried; False if there is nothing to try.
        is_refusable: whether a target may raise where it is called.
        is_edge: whether nobody has such a case: a difference is noted, and no violation.
        pair: the pair.

    Raises:
        Violated: what differs first, or what torch raised though it does not for nn.GRU.
        NotApplicable: if it does for nn.GRU as well.
    """
    __tracebackhide__ = True
    if needs(pair) is False:
        return
    for statement in statements:
        _judge(statement, pair, is_refusable, is_edge)


def _judge(
    statement: Statement, pair: Pair, is_refusable: bool, is_edge: Callable[[Case], bool]
) -> None:
    """Raise a violation if a statement does not hold for a pair; see judge."""
    __tracebackhide__ = True
    try:
        # What the target changes is put back, whatever the law looks at.
        with settings_known(), pair.in_context(), unwarned():
            for seen in looked_at(statement, pair):
                assert_same(pair, *seen)
    except TargetRaised as error:
        _assert_holds_for_reference(statement, pair)
        if not is_refusable:
            raise
        pair.refuse(str(error))
    except Violated as error:
        if not is_edge(pair.case):
            raise
        pair.refuse(str(error))
    except NotApplicable:
        raise
    except Exception as error:
        _assert_holds_for_reference(statement, pair)
        raise Violated(f"the target raised {describe_error(error)}; nn.GRU does not") from error


def judge_parts(
    known: Callable[[Pair], Iterable[str]], parts: Sequence[Statement], pair: Pair
) -> None:
    """Note as refused, in one sentence, what differs first in each part of a law.

    Args:
        known: yields, in words, what is known to differ.
        parts: statements, none of which keeps another from being tried.
        pair: the pair.
    """
    differences = [*known(pair)]
    for part in parts:
        try:
            with settings_known(), pair.in_context(), unwarned():
                for seen in looked_at(part, pair):
                    assert_same(pair, *seen)
        except NotApplicable:
            raise
        except Violated as error:
            differences.append(re.sub(r" \(\d+ of \d+ elements differ, .*\)$", "", str(error)))
        except RAISED as error:
            name = part.__name__.replace("_", " ")
            differences.append(f"{name}: {describe_error(error)}")
    if differences:
        pair.refuse("; ".join(differences))


def looked_at(statement: Statement, pair: Pair, **given: Any) -> Iterator[Seen]:
    """Yield what a law looks at in a pair, with some arguments given."""
    # What a law draws before it seeds is drawn again if the case is tried again.
    pair.seed((pair.case.seed + 1) % 2**64)
    found = statement(**_arguments(statement, pair) | given)
    if isinstance(found, tuple):
        yield "result", *found
    elif found is not None:
        yield from found


def _assert_holds_for_reference(statement: Statement, pair: Pair) -> None:
    """Raise NotApplicable if a law fails on nn.GRU as well, or the user's own mistake in it."""
    try:
        with pair.in_context(), unwarned():

            def build() -> Called:
                return Called(copy.deepcopy(pair.reference), _calling_gru(pair))

            given = {"target": build(), "fresh": build(), "build": build, "kind": "sequence"}
            known = {name: given[name] for name in given if name in _names(statement)}
            for _ in looked_at(statement, pair, **known):
                pass
    except Exception as error:
        if isinstance(error, _MISTAKES) and not statement.__module__.startswith("stackgru."):
            raise
        raise NotApplicable(f"nn.GRU itself raised {describe_error(error)}") from error


def seen_differently(statement: Statement, pair: Pair, **given: Any) -> Seen | None:
    """Return the first thing that a law sees otherwise than it should be."""
    with settings_known(), pair.in_context(), unwarned():
        for seen in looked_at(statement, pair, **given):
            try:
                assert_same(pair, *seen)
            except Violated:
                return seen
    return None


def _names(statement: Statement) -> tuple[str, ...]:
    return tuple(inspect.signature(statement).parameters)


def _arguments(statement: Statement, pair: Pair) -> dict[str, Any]:
    """Return the arguments that a law asks for by their names."""
    available: dict[str, Callable[[], Any]] = {
        "target": lambda: Called(pair.module, _calling(pair)),
        "reference": lambda: Called(pair.reference, _calling_gru(pair)),
        "fresh": lambda: Called(_fresh(pair), _calling(pair)),
        "x": lambda: pair.as_argument(pair.input),
        "h0": lambda: pair.as_argument(pair.h0),
        "own": lambda: own_module(pair.module),
        "build": lambda: lambda: _built(pair),
        "construct": lambda: functools.partial(_constructed, pair),
        "unchecked": lambda: Called(pair.module, _calling_unchecked(pair)),
        "factory": lambda: pair.target.factory,
        "within": lambda: within(pair),
        "settings": lambda: settings_read,
        "kind": lambda: pair.kind,
        "takes_no_state": lambda: pair.target.takes_no_state,
        "strict": lambda: pair.strict,
    }
    return {
        name: available[name]() if name in available else getattr(pair.case, name)
        for name in _names(statement)
    }


def within(pair: Pair) -> Within:
    """Return what gives how far two right outputs, and two right states, may lie apart."""

    def apart(x: Tensor, h0: Tensor, module: Called | None = None) -> tuple[Tensor, Tensor]:
        layers = None
        if module is not None:
            owner, directions = module.module, pair.case.directions
            layers = pair.target.weights(owner, pair.case, directions).layers
        with torch.no_grad():
            masks = reference_masks(pair)
            bound = expected(pair, masks, input=x.detach(), h0=h0.detach(), layers=layers)
        return 2 * bound.outputs.error, 2 * bound.hn.error

    return apart


def _fresh(pair: Pair) -> nn.Module:
    # As the target was; torch goes other ways with weights that were made in inference mode.
    with torch.inference_mode(False):
        return Pair(pair.target, pair.case).module


def _built(pair: Pair) -> Called:
    with torch.inference_mode(False):
        module = pair.target.build(replace(pair.case))
    return Called(module, _calling(pair))


def _constructed(pair: Pair, **options: Any) -> nn.Module:
    """Build the target with other arguments; raise for one that does not reach its constructor."""
    unknown = options.keys() - pair.target.accepts - {"input_size", "hidden_size"}
    if unknown:
        raise TypeError(f"the target does not take {', '.join(unknown)}")
    return pair.target.build(pair.case, **options)


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


def _calling_unchecked(pair: Pair) -> Callable[..., Any]:
    def call(module: nn.Module, x: Tensor, *state: Tensor) -> Any:
        with contextlib.suppress(ConventionMismatch):  # a result
            module(x[0] if pair.kind == "cell" else x, *state)

    return call


def _calling_gru(pair: Pair) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(module: nn.Module, x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = pair.form.of(module)(x, *state)
        return output, hn

    return call


def assert_same(pair: Pair, what: str, observed: Any, expected: Any, allowed: Any = None) -> None:
    """Raise a violation if two values differ; also of tensors in a tuple or list."""
    __tracebackhide__ = True
    if has_tensors(observed) and isinstance(expected, (tuple, list)):
        if len(observed) != len(expected):
            raise Violated(f"{what}: got {len(observed)}, expected {len(expected)}")
        for number, (own, other) in enumerate(zip(observed, expected, strict=True)):
            part = allowed[number] if isinstance(allowed, (tuple, list)) else allowed
            assert_same(pair, f"{what} {number}", own, other, part)
    elif isinstance(observed, Tensor) and isinstance(expected, Tensor):
        if observed.shape != expected.shape or observed.dtype != expected.dtype:
            found, right = (f"{one.dtype} {tuple(one.shape)}" for one in (observed, expected))
            raise Violated(f"{what}: got {found}, expected {right}")
        if observed.device != expected.device:
            raise Violated(f"{what}: got {observed.device}, expected {expected.device}")
        if observed.is_meta:
            return
        nothing = torch.zeros((), dtype=torch.float64)
        error = torch.as_tensor(nothing if allowed is None else allowed).expand(observed.shape)
        pair.within(observed, expected, error, what, _axes_of(what, observed))
    elif observed is not expected and observed != expected:
        raise Violated(f"{what}: got {_shown(observed)}, expected {_shown(expected)}")


def _axes_of(what: str, value: Tensor) -> tuple[str, ...] | None:
    """Return the names of a result's axes, if it is output or hn."""
    first = re.search(r"\b(output|hn)\b", what)
    if first is None or value.dim() != 3:
        return None
    return _STEPS if first[1] == "output" else _LAYERS


def has_tensors(value: Any) -> bool:
    """Whether a value is a tuple or list with a tensor in it."""
    return isinstance(value, (tuple, list)) and any(
        isinstance(one, Tensor) or has_tensors(one) for one in value
    )


def _shown(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
