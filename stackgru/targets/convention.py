"""Convention: how a target is built and called, where that is not as nn.GRU; and what drives it.

How a state goes in and comes out, by the names in options.STATES:

- ``stacked``: one tensor (L, B, H), as nn.GRU's.
- ``batch-first``: one tensor (B, L, H).
- ``tuple``: one tensor (L, B, H) in a tuple of one.
- ``list``: a list or tuple of L tensors (B, H). A call that returns its output only, and puts the
  new states into the list that it was given, is understood too.
- ``concatenated``: one tensor (B, L * H), the first layer first.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.options import ARGUMENTS, RETURNS, STATES, UsageError, one_of

#: Returns a module's layers in order: nn.GRUCells, or mappings from nn.GRUCell's names to tensors.
FindsWeights = Callable[[Any], Sequence["nn.GRUCell | Mapping[str, Tensor]"]]


@dataclass(frozen=True)
class Convention:
    """A target with the convention that it follows; it stands wherever a target does.

    Attributes:
        factory: the class or function that builds it.
        arguments: the constructor's arguments by position, names in options.ARGUMENTS; what it
            lacks is left out, and the laws that need it are not applicable. Found if None.
        constants: further arguments of the constructor, by keyword.
        state: how the state goes in and comes out, one of options.STATES.
        returns: what a call gives, one of options.RETURNS; where it gives the state alone, the
            output is the last layer's.
        time_axis: whether it is a cell that takes (1, B, I) and gives (1, B, H).
        weights: returns the module's layers in order, where they are not found by themselves:
            nn.GRUCells, or mappings with weight_ih, weight_hh and, unless there are no biases,
            bias_ih and bias_hh, in nn.GRU's order of gates r, z, n. The tensors may be views of the
            module's parameters, or computed from them as the module computes them.

    Raises:
        UsageError: if a name is none of those; the message names the nearest.
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
                "arguments must name input_size and hidden_size, and nothing twice, "
                f"got {', '.join(arguments)}."
            )
        object.__setattr__(self, "arguments", arguments)

    @property
    def needs_adapter(self) -> bool:
        """Whether a call must be translated."""
        return (self.state, self.returns, self.time_axis) != (STATES[0], RETURNS[0], False)

    @property
    def words(self) -> tuple[str, ...]:
        """The options of ``stackgru check`` that tell it, but for constants and weights."""
        found: list[str] = []
        if self.arguments is not None:
            found += ["--arguments", ",".join(self.arguments)]
        if self.state != STATES[0]:
            found += ["--state", self.state]
        if self.returns != RETURNS[0]:
            found += ["--returns", self.returns.replace(" ", "")]
        return (*found, "--time-axis") if self.time_axis else tuple(found)


class ConventionMismatch(Exception):
    """A call gave something other than the convention says; the message says what."""


class ConventionAdapter(nn.Module):
    """A module that is called as its convention says, and itself is called as nn.GRU is.

    Args:
        module: the target's own module.
        convention: says how it is called.
        num_layers: how many layers a state has, where its shape does not tell.
    """

    def __init__(self, module: nn.Module, convention: Convention, num_layers: int) -> None:
        super().__init__()
        self.module = module
        # Names only, so that this is copied and pickled wherever the module is.
        self._state = convention.state
        self._returns = convention.returns
        self._time_axis = convention.time_axis
        self._num_layers = num_layers

    def forward(self, input: Any, h0: Tensor | None = None) -> tuple[Any, Tensor]:
        """Call the module.

        Args:
            input: what nn.GRU takes, or a cell's (B, I).
            h0: (L, B, H); None to call the module without a state.

        Returns:
            Output and hn, (L, B, H).

        Raises:
            ConventionMismatch: if what it gives is not what the convention says.
        """
        if self._time_axis:
            input = input.unsqueeze(0)
        output, state = self._parted(self.module(input)) if h0 is None else self._called(input, h0)
        layers = self._num_layers if h0 is None else h0.shape[0]
        hn = stacked(state, self._state, layers)
        if self._returns == "state":
            return hn[-1], hn
        return self._without_time(output), hn

    def _called(self, input: Any, h0: Tensor) -> tuple[Any, Any]:
        """Return output and state of a call with a state."""
        given = arranged(h0, self._state)
        kept = list(given) if isinstance(given, list) else []
        is_copy = self._state in ("batch-first", "concatenated")
        watched = given if is_copy else h0
        before = _version(watched)
        result = self.module(input, given)
        written = _version(watched) != before
        if written and is_copy:
            # It wrote into what may be a copy: who looks at h0 is to see that.
            h0.copy_(stacked(given, self._state, h0.shape[0]))
        if not (isinstance(given, list) and isinstance(result, Tensor) and self._gives_both):
            return self._parted(result)
        if not written and len(given) == len(kept) and all(map(operator.is_, given, kept)):
            raise ConventionMismatch(
                f"the target gave {described(result)}, and left the list of states as it was"
            )
        return result, given

    @property
    def _gives_both(self) -> bool:
        return self._returns == RETURNS[0]

    def _parted(self, result: Any) -> tuple[Any, Any]:
        """Return output and state; the output is None where only the state is given."""
        if self._returns == "state":
            return None, result
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            first, second = self._returns.split(", ")
            said = f"{_a(first)} and {_a(second)}"
            raise ConventionMismatch(
                f"the target gave {described(result)}, where the convention says {said}"
            )
        return (result[0], result[1]) if self._gives_both else (result[1], result[0])

    def _without_time(self, output: Any) -> Any:
        if not self._time_axis:
            return output
        if not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] != 1:
            raise ConventionMismatch(
                f"the target gave {described(output)} for its output, where the convention says "
                "one tensor of shape (1, B, H)"
            )
        return output.squeeze(0)


def arranged(h0: Tensor, state: str) -> Any:
    """Return a state (L, B, H), or (L, H) of one row, as a convention has it."""
    if state == "tuple":
        return (h0,)
    if state == "list":
        return list(h0.unbind(0))  # views: what is written into them is written into h0
    if state == "batch-first":
        return h0.movedim(0, -2).contiguous()
    if state == "concatenated":
        return h0.movedim(0, -2).flatten(-2)
    return h0


def stacked(given: Any, state: str, layers: int) -> Tensor:
    """Return a state that comes as a convention has it as (L, B, H); see arranged.

    Raises:
        ConventionMismatch: if it does not come so.
    """
    several = state in ("tuple", "list")
    parts = given if several else [given]
    fits = isinstance(parts, (tuple, list)) and all(isinstance(part, Tensor) for part in parts)
    if not fits or (state == "tuple" and len(parts) != 1) or not parts:
        raise _misfit(given, state)
    if state == "list":
        if any(part.shape != parts[0].shape for part in parts):
            raise _misfit(given, state)
        return torch.stack(list(parts))
    only: Tensor = parts[0]
    if state == "batch-first":
        if only.dim() < 2:
            raise _misfit(given, state)
        return only.movedim(-2, 0)
    if state == "concatenated":
        if only.dim() < 1 or only.shape[-1] % layers:
            raise _misfit(given, state)
        shape = (*only.shape[:-1], layers, only.shape[-1] // layers)
        return only.reshape(shape).movedim(-2, 0)
    return only


def described(result: object) -> str:
    """Return what a result is, with its shape."""
    if isinstance(result, Tensor):
        return f"one tensor of shape {tuple(result.shape)}"
    if isinstance(result, (tuple, list)):
        kind = type(result).__name__
        if len(result) == 1:
            return f"{_a(kind)} of {described(result[0])}"
        shapes = {tuple(part.shape) for part in result if isinstance(part, Tensor)}
        every = all(isinstance(part, Tensor) for part in result)
        shape = f" tensors of shape {shapes.pop()}" if every and len(shapes) == 1 else ""
        return f"{_a(kind)} of {len(result)}{shape or ' things'}"
    return _a(type(result).__name__)


_SAID = {
    "stacked": "one tensor (L, B, H)",
    "batch-first": "one tensor (B, L, H)",
    "tuple": "one tensor (L, B, H) in a tuple",
    "list": "a list of L tensors (B, H)",
    "concatenated": "one tensor (B, L * H)",
}


def _misfit(given: object, state: str) -> ConventionMismatch:
    return ConventionMismatch(
        f"the target gave {described(given)} for its state, where the convention says "
        f"{_SAID[state]}"
    )


def _version(tensor: Tensor) -> int:
    """Return what counts the writes into a tensor; 0 where nothing counts them."""
    compiler = getattr(torch, "compiler", None)
    is_traced = getattr(compiler, "is_compiling", bool)()
    return 0 if is_traced or tensor.is_inference() else tensor._version


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
