"""ConventionAdapter: a module that is called by its convention, to be called as nn.GRU is."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from stackgru.options import RETURNS
from stackgru.targets.convention import Convention
from stackgru.targets.importing import with_article


class ConventionMismatch(Exception):
    """A call gave something other than its convention specifies."""


class ConventionAdapter(nn.Module):
    """A module that is called as nn.GRU is, and calls the target's own by its convention.

    Args:
        module: the target's own module.
        convention: how it is called.
        num_layers: number of layers of a state, if its shape does not show it.
    """

    def __init__(self, module: nn.Module, convention: Convention, num_layers: int) -> None:
        super().__init__()
        self.module = module
        # Names only, so that this can be copied and pickled if the module can.
        self._state = convention.state
        self._returns = convention.returns
        self._time_axis = convention.time_axis
        self._batch_first = convention.batch_first
        self._num_layers = num_layers

    def forward(self, input: Any, h0: Tensor | None = None) -> tuple[Any, Tensor]:
        """Call the module with nn.GRU's input, or a cell's (B, I), and h0, (L, B, H), or None.

        Raises:
            ConventionMismatch: if the results are not what the convention specifies.
        """
        given = input
        if self._time_axis:
            input = input.unsqueeze(0)
        elif self._batch_first and isinstance(input, Tensor) and input.dim() == 3:
            given = input.transpose(0, 1)
            input = given.contiguous()
        before = _version(input) if isinstance(input, Tensor) else 0
        if h0 is None or self._state == "none":
            output, state = self._output_and_state(self.module(input))
        else:
            output, state = self._called(input, h0)
        if input is not given and self._batch_first and _version(input) != before:
            given.copy_(input)  # it wrote into the copy; the input itself must show that
        layers = self._num_layers if h0 is None else h0.shape[0]
        if self._returns == "output":
            output = self._in_time_order(output)
            return output, last_alone(output, layers)
        hn = to_stacked(state, self._state, layers)
        if self._returns == "state":
            return hn[-1], hn
        return self._in_time_order(self._without_time(output)), hn

    def _in_time_order(self, output: Any) -> Any:
        if self._returns == "output" and not isinstance(output, (Tensor, PackedSequence)):
            raise ConventionMismatch(
                f"the target gave {described(output)}; the convention specifies one tensor"
            )
        if self._batch_first and isinstance(output, Tensor) and output.dim() == 3:
            return output.transpose(0, 1)
        return output

    def _called(self, input: Any, h0: Tensor) -> tuple[Any, Any]:
        """Return output and state of a call with a state."""
        given = from_stacked(h0, self._state)
        kept = list(given) if isinstance(given, list) else []
        is_copy = self._state in ("batch-first", "concatenated")
        watched = given if is_copy else h0
        before = _version(watched)
        result = self.module(input, given)
        written = _version(watched) != before
        if written and is_copy:
            # It wrote into what may be a copy; h0 itself must show that.
            h0.copy_(to_stacked(given, self._state, h0.shape[0]))
        if not (isinstance(given, list) and isinstance(result, Tensor) and self._gives_both):
            return self._output_and_state(result)
        if not written and len(given) == len(kept) and all(map(operator.is_, given, kept)):
            raise ConventionMismatch(
                f"the target gave {described(result)}, and left the list of states unchanged"
            )
        return result, given

    @property
    def _gives_both(self) -> bool:
        return self._returns == RETURNS[0]

    def _output_and_state(self, result: Any) -> tuple[Any, Any]:
        """Return output and state; one is None if only the other is returned."""
        if self._returns == "state":
            return None, result
        if self._returns == "output":
            return result, None
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            first, second = self._returns.split(", ")
            raise ConventionMismatch(
                f"the target gave {described(result)}; the convention specifies "
                f"{with_article(first)} and {with_article(second)}"
            )
        return (result[0], result[1]) if self._gives_both else (result[1], result[0])

    def _without_time(self, output: Any) -> Any:
        if not self._time_axis:
            return output
        if not isinstance(output, Tensor) or output.dim() == 0 or output.shape[0] != 1:
            raise ConventionMismatch(
                f"the target gave {described(output)} as its output; the convention specifies "
                "one tensor of shape (1, B, H)"
            )
        return output.squeeze(0)


def adapt(module: nn.Module, convention: Convention, num_layers: int) -> nn.Module:
    """Return a module that is called as nn.GRU is: the target's own, or an adapter of it."""
    return ConventionAdapter(module, convention, num_layers) if convention.needs_adapter else module


def last_alone(output: Any, layers: int) -> Tensor:
    """Return an hn that shows the last layer's state, the last output, and zeros for the others."""
    if isinstance(output, PackedSequence):
        padded, lengths = pad_packed_sequence(output)
        last = padded[lengths - 1, torch.arange(len(lengths))]
    else:
        last = output[-1]
    return torch.cat([last.new_zeros(layers - 1, *last.shape), last[None]])


def own_module(module: nn.Module) -> nn.Module:
    """Return the target's own module from what adapt returned, or from a copy of it."""
    return module.module if isinstance(module, ConventionAdapter) else module


def from_stacked(h0: Tensor, state: str) -> Any:
    """Return a state (L, B, H), or (L, H) of one row, in a convention's layout."""
    if state == "tuple":
        return (h0,)
    if state == "list":
        return list(h0.unbind(0))  # views: what is written into them is written into h0
    if state == "batch-first":
        return h0.movedim(0, -2).contiguous()
    if state == "concatenated":
        return h0.movedim(0, -2).flatten(-2)
    return h0


def to_stacked(given: Any, state: str, layers: int) -> Tensor:
    """Return a state that comes as a convention has it as (L, B, H); see from_stacked.

    Raises:
        ConventionMismatch: if it does not come so.
    """
    several = state in ("tuple", "list")
    parts = given if several else [given]
    fits = isinstance(parts, (tuple, list)) and all(isinstance(part, Tensor) for part in parts)
    if not fits or (state == "tuple" and len(parts) != 1) or not parts:
        raise _mismatch(given, state)
    if state == "list":
        if any(part.shape != parts[0].shape for part in parts):
            raise _mismatch(given, state)
        return torch.stack(list(parts))
    only: Tensor = parts[0]
    if state == "batch-first":
        if only.dim() < 2:
            raise _mismatch(given, state)
        return only.movedim(-2, 0)
    if state == "concatenated":
        if only.dim() < 1 or only.shape[-1] % layers:
            raise _mismatch(given, state)
        shape = (*only.shape[:-1], layers, only.shape[-1] // layers)
        return only.reshape(shape).movedim(-2, 0)
    return only


def described(result: object) -> str:
    """Describe a result by its type and shape."""
    if isinstance(result, Tensor):
        return f"one tensor of shape {tuple(result.shape)}"
    if isinstance(result, (tuple, list)):
        kind = type(result).__name__
        if len(result) == 1:
            return f"{with_article(kind)} of {described(result[0])}"
        shapes = {tuple(part.shape) for part in result if isinstance(part, Tensor)}
        every = all(isinstance(part, Tensor) for part in result)
        shape = f" tensors of shape {shapes.pop()}" if every and len(shapes) == 1 else ""
        return f"{with_article(kind)} of {len(result)}{shape or ' things'}"
    return with_article(type(result).__name__)


_LAYOUTS = {
    "stacked": "one tensor (L, B, H)",
    "batch-first": "one tensor (B, L, H)",
    "tuple": "one tensor (L, B, H) in a tuple",
    "list": "a list of L tensors (B, H)",
    "concatenated": "one tensor (B, L * H)",
    "none": "one tensor (L, B, H)",
}


def _mismatch(given: object, state: str) -> ConventionMismatch:
    return ConventionMismatch(
        f"the target gave {described(given)} as its state; the convention specifies "
        f"{_LAYOUTS[state]}"
    )


def _version(tensor: Tensor) -> int:
    """Return the number of writes into a tensor; 0 if nothing counts them."""
    compiler = getattr(torch, "compiler", None)
    is_traced = getattr(compiler, "is_compiling", bool)()
    return 0 if is_traced or tensor.is_inference() else tensor._version
