"""The nn.GRU of a pair: built as the target is, its weights not drawn."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.targets.adapter import last_alone
from stackgru.targets.target import Target


class _Unset(nn.GRU):
    """An nn.GRU whose weights are not drawn, as others are written into it at once."""

    def reset_parameters(self) -> None:
        """Leave them as they are."""


class _AsDriven(nn.GRU):
    """An nn.GRU that takes and shows no more of the state than its target."""

    takes_state = shows_state = True

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Call nn.GRU without the state that the target does not take."""
        output, hn = super().forward(input, hx if self.takes_state else None)
        return output, hn if self.shows_state else last_alone(output, self.num_layers)


def built_reference(case: Case, bias: bool, target: Target) -> nn.GRU:
    """Return the nn.GRU of a case, with biases or without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one layer with dropout
        gru = _Unset(
            case.input_size,
            case.hidden_size,
            case.num_layers,
            bias=bias,
            dropout=case.dropout,
            device=target.device,
            dtype=case.torch_dtype,
            batch_first=case.batch_first,
            bidirectional=case.bidirectional,
        )
    gru.__class__ = nn.GRU if not target.unseen else _AsDriven  # type: ignore[assignment]
    if target.unseen:
        gru.takes_state = target.convention.takes_state
        gru.shows_state = target.convention.shows_state
    return gru.train(case.mode == "train")
