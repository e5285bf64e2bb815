"""Convention: how a target is built and called, if that differs from nn.GRU.

How a state goes in and comes out, by the names in options.STATES:

- ``stacked``: one tensor (L, B, H), as nn.GRU's.
- ``batch-first``: one tensor (B, L, H).
- ``tuple``: one tensor (L, B, H) in a tuple of one.
- ``list``: a list or tuple of L tensors (B, H). A call may also return only its output and put the
  new states into the list that it was given.
- ``concatenated``: one tensor (B, L * H), the first layer first.
- ``none``: none goes in, so that every call starts from zeros; one tensor (L, B, H) may come out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from torch import Tensor, nn

from stackgru.options import (
    ARGUMENTS,
    MOST_ACTIVATION_ERROR,
    RETURNS,
    STATES,
    UsageError,
    one_of,
)

#: Returns a module's layers in order: nn.GRUCells, or mappings from nn.GRUCell's names to tensors.
FindsWeights = Callable[[Any], Sequence["nn.GRUCell | Mapping[str, Tensor]"]]


@dataclass(frozen=True)
class Convention:
    """A target with the convention that it follows; accepted wherever a target is.

    Attributes:
        factory: the class or function that builds it.
        arguments: the constructor's arguments by position, names in options.ARGUMENTS; leave out
            what it lacks, and the laws that need it are not applicable. Without input_size, or
            without hidden_size, the one that is given is both. Found if None.
        constants: further arguments of the constructor, by keyword.
        state: how the state goes in and comes out, one of options.STATES.
        returns: what a call returns, one of options.RETURNS; if it returns the state alone, the
            output is the last layer's; if a sequence returns the output alone, hn is not seen.
        time_axis: whether it is a cell that takes (1, B, I) and returns (1, B, H).
        batch_first: whether it is a sequence that takes (B, T, I) and returns (B, T, H).
        sizes: the sizes with which it can be built, if not any: input_size or hidden_size, each
            with a number or a collection of numbers.
        weights: returns the module's layers in order, if they are not found automatically:
            nn.GRUCells, or mappings with weight_ih, weight_hh and, unless there are none or they
            are None, bias_ih and bias_hh, in nn.GRU's order of gates r, z, n. The tensors may be
            views of the module's parameters, or computed from them as the module computes them.
        activation_error: by how much its sigmoid and tanh may be off besides their roundings,
            absolutely, in float32; in another dtype by the same number of u. At most
            MOST_ACTIVATION_ERROR: what is further off is no rounding, but another equation.
        flush_to_zero: whether it may take subnormal numbers for zero.

    Raises:
        UsageError: if a name is unknown; the message suggests the nearest.
    """

    factory: Callable[..., Any]
    _: KW_ONLY
    arguments: Sequence[str] | None = None
    constants: Mapping[str, Any] | None = field(default=None, hash=False)
    state: str = STATES[0]
    returns: str = RETURNS[0]
    time_axis: bool = False
    batch_first: bool = False
    sizes: Mapping[str, int | Collection[int]] | None = field(default=None, hash=False)
    weights: FindsWeights | None = None
    activation_error: float = 0.0
    flush_to_zero: bool = False

    def __post_init__(self) -> None:
        returns = ", ".join(part.strip() for part in self.returns.split(","))
        object.__setattr__(self, "returns", one_of("returns", returns, RETURNS))
        one_of("state", self.state, STATES)
        object.__setattr__(self, "sizes", _read_sizes(self.sizes or {}))
        if not 0 <= self.activation_error <= MOST_ACTIVATION_ERROR:
            raise UsageError(
                f"activation_error must be from 0 to {MOST_ACTIVATION_ERROR:g}, got "
                f"{self.activation_error:g}: what is further off is no rounding, but another GRU."
            )
        if self.arguments is None:
            return
        if isinstance(self.arguments, str):
            raise UsageError(f"arguments must be a sequence of names, got {self.arguments!r}.")
        arguments = tuple(one_of("arguments", name, ARGUMENTS) for name in self.arguments)
        if len(set(arguments)) < len(arguments) or not {*ARGUMENTS[:2]} & set(arguments):
            raise UsageError(
                "arguments must include input_size, hidden_size or both, without duplicates, "
                f"got {', '.join(arguments)}."
            )
        object.__setattr__(self, "arguments", arguments)

    @property
    def needs_adapter(self) -> bool:
        """Whether a call must be translated."""
        plain = (STATES[0], RETURNS[0], False, False)
        return (self.state, self.returns, self.time_axis, self.batch_first) != plain

    @property
    def is_of_sequence(self) -> bool:
        """Whether it can be the convention of a sequence only."""
        return self.batch_first or bool(self.unseen)

    @property
    def only_kind(self) -> str | None:
        """The only kind whose convention it can be; None if it can be either's."""
        return "cell" if self.time_axis else "sequence" if self.is_of_sequence else None

    @property
    def takes_state(self) -> bool:
        """Whether a call gets a state."""
        return self.state != "none"

    @property
    def shows_state(self) -> bool:
        """Whether a call returns a state."""
        return self.returns != "output"

    @property
    def unseen(self) -> tuple[str, ...]:
        """What cannot be seen as it is called, in words."""
        hidden = () if self.takes_state else ("no h0 goes in",)
        return hidden if self.shows_state else (*hidden, "hn is not returned")

    def fitted_sizes(self, input_size: int, hidden_size: int) -> tuple[int, int]:
        """Return the nearest sizes with which it can be built."""
        allowed = _read_sizes(self.sizes or {})
        hidden = _nearest(hidden_size, allowed.get("hidden_size"))
        if self.has_one_width:
            both = allowed.get("hidden_size") or allowed.get("input_size")
            return (_nearest(hidden_size, both),) * 2
        return _nearest(input_size, allowed.get("input_size")), hidden

    @property
    def has_one_width(self) -> bool:
        """Whether it is built with one width for input and state."""
        return self.arguments is not None and not {*ARGUMENTS[:2]} <= {*self.arguments}

    @property
    def cli_options(self) -> tuple[str, ...] | None:
        """The options of ``stackgru check`` that specify it; None if there are none."""
        found: list[str] = []
        if self.weights is not None or self.sizes:
            return None
        if self.arguments is not None:
            found += ["--arguments", ",".join(self.arguments)]
        for name, value in (self.constants or {}).items():
            try:
                found += ["--constant", f"{name}={json.dumps(value)}"]
            except (TypeError, ValueError):
                return None
        if self.state != STATES[0]:
            found += ["--state", self.state]
        if self.returns != RETURNS[0]:
            found += ["--returns", self.returns.replace(" ", "")]
        found += ["--time-axis"] if self.time_axis else []
        found += ["--batch-first"] if self.batch_first else []
        if self.activation_error:
            found += ["--activation-error", f"{self.activation_error:g}"]
        found += ["--flush-to-zero"] if self.flush_to_zero else []
        return tuple(found)


def _read_sizes(sizes: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the sizes with which a target can be built, each in ascending order."""
    read = {}
    for name, given in sizes.items():
        one_of("sizes", name, ARGUMENTS[:2])
        numbers = tuple(sorted({given} if isinstance(given, int) else {*given}))
        if not numbers or not all(isinstance(one, int) and one > 0 for one in numbers):
            raise UsageError(f"sizes: {name} must be a number or numbers above 0, got {given!r}.")
        read[name] = numbers
    return read


def _nearest(size: int, allowed: Collection[int] | None) -> int:
    return min(allowed, key=lambda one: (abs(one - size), one)) if allowed else size
