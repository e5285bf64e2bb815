"""Forms: how a case calls a sequence; laws have (T, B, I) and (D L, B, H) whatever the form is.

The functions that adapt a module to a form are plain torch: a script shows them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from stackgru.cases.case import Case

Called = Callable[..., tuple[Tensor, Tensor]]


def batch_first(module: Callable[..., Any]) -> Called:
    """Return a function that calls a module with (B, T, I), and is called with (T, B, I)."""

    def call(x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        output, hn = module(x.transpose(0, 1), *state)
        return output.transpose(0, 1), hn

    return call


def unbatched(module: Callable[..., Any], whole: Callable[..., Any]) -> Called:
    """Return a function that calls a module without the axis of rows, if there is one row."""

    def call(x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1] != 1:
            return whole(x, *state)  # type: ignore[no-any-return]
        output, hn = module(x[:, 0], *(h0 if h0 is None else h0[:, 0] for h0 in state))
        return output[:, None], hn[:, None]

    return call


def packed(
    module: Callable[..., Any],
    whole: Callable[..., Any],
    steps: int,
    lengths: list[int],
    enforce_sorted: bool,
) -> Called:
    """Return a function that calls a module with packed rows, whole ones if others than these."""

    def call(x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        if not x.shape[1]:
            return whole(x, *state)  # type: ignore[no-any-return]
        fits = x.shape[:2] == (steps, len(lengths))
        each = torch.tensor(lengths if fits else [len(x)] * x.shape[1])
        output, hn = module(pack_padded_sequence(x, each, enforce_sorted=enforce_sorted), *state)
        return pad_packed_sequence(output, total_length=len(x))[0], hn

    return call


def left_out(module: Callable[..., Any], *instead: None) -> Called:
    """Return a function that calls a module without a state of zeros, or with None in its place."""

    def call(x: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
        # What was carried on may be zeros by chance, and has a gradient that must not be cut off.
        is_left_out = all(h0.grad_fn is None and not bool(h0.any()) for h0 in state)
        return module(x, *(instead if is_left_out else state))  # type: ignore[no-any-return]

    return call


@dataclass(frozen=True)
class Form:
    """How a module is called.

    Attributes:
        case: its batch_first, form, lengths and h0 are those of the calls.
    """

    case: Case

    def laid_out(self, input: Tensor) -> Tensor:
        """Return (T, B, I) that is contiguous as the module gets it."""
        if not self.case.batch_first:
            return input
        return input.transpose(0, 1).contiguous().transpose(0, 1)

    def of(self, module: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls a module in this form, (T, B, I) and maybe (D L, B, H)."""
        case = self.case
        whole = batch_first(module) if case.batch_first else module
        if case.form == "unbatched":
            whole = unbatched(module, whole)
        elif case.form != "plain":
            lengths = case.row_lengths if case.lengths else []
            whole = packed(module, whole, case.seq_len, lengths, case.form == "packed-sorted")
        if case.h0 != "given":
            whole = left_out(whole, *(None,) * (case.h0 == "none"))
        return whole

    @property
    def active(self) -> Tensor | None:
        """Which rows have input at a step, bool and (T, B, 1); None if all have."""
        case = self.case
        if not case.lengths or set(case.row_lengths) == {case.seq_len}:
            return None
        lengths = torch.tensor(case.row_lengths)
        return (torch.arange(case.seq_len)[:, None] < lengths)[..., None]

    def places(self, masks: Tensor) -> Tensor:
        """Return places in all masks, (L - 1, T, B, D H), with the rows as they are packed."""
        case = self.case
        if case.form != "packed" or not case.batch:
            return masks
        padded = torch.zeros(case.seq_len, case.batch)
        lengths = torch.tensor(case.row_lengths)
        rows = pack_padded_sequence(padded, lengths, enforce_sorted=False).sorted_indices
        assert rows is not None  # noqa: S101 - it sorts
        return masks.index_select(2, rows)


def shapes_of_results(
    case: Case, arguments: tuple[Any, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of output and hn that nn.GRU gives for these very arguments.

    Those of a packed output are the shapes of its data.
    """
    input = arguments[0]
    width = case.directions * case.hidden_size
    layers = case.directions * case.num_layers
    if isinstance(input, PackedSequence):
        rows: tuple[int, ...] = (int(input.batch_sizes[0]),)
        return (len(input.data), width), (layers, *rows, case.hidden_size)
    if input.dim() == 2 and case.form == "unbatched":
        return (len(input), width), (layers, case.hidden_size)
    rows = input.shape[:1] if case.batch_first else input.shape[-2:-1]
    return (*input.shape[:-1], width), (layers, *rows, case.hidden_size)
