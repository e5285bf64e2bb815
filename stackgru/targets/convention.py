"""Convention: how a target is built and called, if that differs from nn.GRU.

How a state goes in and comes out, by the names in options.STATES:

- ``stacked``: one tensor (L, B, H), as nn.GRU's.
- ``batch-first``: one tensor (B, L, H).
- ``tuple``: one tensor (L, B, H) in a tuple of one.
- ``list``: a list or tuple of L tensors (B, H). A call may also return only its output and put the
  new states into the list that it was given.
- ``concatenated``: one tensor (B, L * H), the first layer first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from torch import Tensor, nn

from stackgru.options import ARGUMENTS, RETURNS, STATES, UsageError, one_of

#: Returns a module's layers in order: nn.GRUCells, or mappings from nn.GRUCell's names to tensors.
FindsWeights = Callable[[Any], Sequence["nn.GRUCell | Mapping[str, Tensor]"]]


@dataclass(frozen=True)
class Convention:
    """A target with the convention that it follows; accepted wherever a target is.

    Attributes:
        factory: the class or function that builds it.
        arguments: the constructor's arguments by position, names in options.ARGUMENTS; leave out
            what it lacks, and the laws that need it are not applicable. Found if None.
        constants: further arguments of the constructor, by keyword.
        state: how the state goes in and comes out, one of options.STATES.
        returns: what a call returns, one of options.RETURNS; if it returns the state alone, the
            output is the last layer's.
        time_axis: whether it is a cell that takes (1, B, I) and returns (1, B, H).
        weights: returns the module's layers in order, if they are not found automatically:
            nn.GRUCells, or mappings with weight_ih, weight_hh and, unless there are no biases,
            bias_ih and bias_hh, in nn.GRU's order of gates r, z, n. The tensors may be views of the
            module's parameters, or computed from them as the module computes them.

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
    weights: FindsWeights | None = None

    def __post_init__(self) -> None:
        returns = ", ".join(part.strip() for part in self.returns.split(","))
        object.__setattr__(self, "returns", one_of("returns", returns, RETURNS))
        one_of("state", self.state, STATES)
        if self.arguments is None:
            return
        if isinstance(self.arguments, str):
            raise UsageError(f"arguments must be a sequence of names, got {self.arguments!r}.")
        arguments = tuple(one_of("arguments", name, ARGUMENTS) for name in self.arguments)
        if len(set(arguments)) < len(arguments) or not {*ARGUMENTS[:2]} <= set(arguments):
            raise UsageError(
                "arguments must include input_size and hidden_size, without duplicates, "
                f"got {', '.join(arguments)}."
            )
        object.__setattr__(self, "arguments", arguments)

    @property
    def needs_adapter(self) -> bool:
        """Whether a call must be translated."""
        return (self.state, self.returns, self.time_axis) != (STATES[0], RETURNS[0], False)

    @property
    def cli_options(self) -> tuple[str, ...]:
        """The options of ``stackgru check`` that specify it, except constants and weights."""
        found: list[str] = []
        if self.arguments is not None:
            found += ["--arguments", ",".join(self.arguments)]
        if self.state != STATES[0]:
            found += ["--state", self.state]
        if self.returns != RETURNS[0]:
            found += ["--returns", self.returns.replace(" ", "")]
        return (*found, "--time-axis") if self.time_axis else tuple(found)
