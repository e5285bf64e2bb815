"""Modules of a design: nn.GRU but for known variants, to be tried in a target's place."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from stackgru.diagnosis.designs import Design, weights_of
from stackgru.gru.parameters import PARAMETERS, Layer


class Designed(nn.Module):
    """A stack of GRU cells of a design, which takes one step; built as nn.GRU is."""

    design: Design
    kind = "cell"
    batch_first = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.hidden_size, self.dropout = hidden_size, dropout
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(nn.GRUCell(width, hidden_size, bias) for width in widths)
        self._kept: dict[int, Tensor] = {}

    def forward(
        self, input: Tensor | PackedSequence, h0: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Return output and hn, in the form of input."""
        if isinstance(input, PackedSequence):
            return self._packed(input, h0)
        if self.kind == "sequence" and input.dim() == 2:
            output, hn = self._whole(input[:, None], h0 if h0 is None else h0[:, None])
            return output[:, 0], hn[:, 0]
        if self.batch_first:
            output, hn = self._whole(input.transpose(0, 1), h0)
            return output.transpose(0, 1), hn
        return self._whole(input, h0)

    def _packed(self, input: PackedSequence, h0: Tensor | None) -> tuple[PackedSequence, Tensor]:
        """Return output and hn of packed rows, each by itself."""
        if self.training and self.dropout:
            raise NotImplementedError("masks of packed rows")
        x, lengths = pad_packed_sequence(input)
        results = [
            self._whole(x[:steps, row : row + 1], h0 if h0 is None else h0[:, row : row + 1])
            for row, steps in enumerate(lengths.tolist())
        ]
        output = pad_sequence([output[:, 0] for output, _ in results])
        is_sorted = input.sorted_indices is None
        packed = pack_padded_sequence(output, lengths, enforce_sorted=is_sorted)
        return packed, torch.cat([hn for _, hn in results], 1)

    def _whole(self, input: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor]:
        design, steps = self.design, input[None] if self.kind == "cell" else input
        last = len(self.cells) - 1
        zeros = steps.new_zeros(last + 1, steps.shape[1], self.hidden_size)
        given = zeros if h0 is None or design.from_zeros else h0
        given = given.detach() if design.detached == "h0" else given
        states = list(given.flip(0) if "h0" in design.reversed_states else given)
        again = list(zeros) if design.again_from_zeros else states
        by_steps = self.kind == "cell" or design.time_order or design.state_of is not None
        run = self._step_by_step if by_steps else self._layer_by_layer
        outputs, states = run(steps, states, again)
        hn = torch.stack(states[::-1] if "hn" in design.reversed_states else states)
        return (outputs[0] if self.kind == "cell" else outputs), hn

    def _step_by_step(
        self, input: Tensor, states: list[Tensor], again: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        outputs = []
        for step, x in enumerate(input):
            self._discard("first", states[0])
            states = self._started(step, states, again)
            states = self._all_dropped(states)
            below, after = self._input_dropped(x), []
            for layer in range(len(self.cells)):
                taken = states[layer if self.design.state_of is None else self.design.state_of]
                state, up = self._cell_step(layer, below, taken)
                up = self._up(layer, up, state)
                after.append(self._carried(layer, state, up))
                below = self._plus(layer, up, below, late=True)
            states = after
            outputs.append(below)
            self._discard("last", states[0])
        return torch.stack(outputs), states

    def _layer_by_layer(
        self, input: Tensor, states: list[Tensor], again: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self._discard("first", states[0])
        first, below, hn = self._all_dropped(states), self._input_dropped(input), []
        for layer in range(len(self.cells)):
            state, ups = first[layer], []
            for step, x in enumerate(below):
                state = self._started(step, [state], [again[layer]])[0]
                state, up = self._cell_step(layer, x, state)
                if self.design.carried:
                    up = self._up(layer, up, state)
                    state = self._carried(layer, state, up)
                ups.append(up)
            above = torch.stack(ups)
            if not self.design.carried:
                above = self._up(layer, above, state)
                state = self._carried(layer, state, above[-1])
            below = self._plus(layer, above, below, late=True)
            hn.append(state)
        self._discard("last", states[0])
        return below, hn

    def _started(self, step: int, states: list[Tensor], again: list[Tensor]) -> list[Tensor]:
        starts = self.design.restarts and step and step % self.design.restarts == 0
        return again if starts else states

    def _cell_step(self, layer: int, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's new state, and what goes up from it, which nothing has dropped yet."""
        if self.design.carried == "before the step":
            state = self._dropped(state)
        state = state.detach() if self.design.detached == "states" else state
        x = x.detach() if self.design.detached == "layers" and layer else x
        new = new_state(self.design, x, state, weights_of(self.design, self._layers, layer))
        return new, self._plus(layer, new, x, late=False)

    def _carried(self, layer: int, state: Tensor, up: Tensor) -> Tensor:
        """Return what a layer keeps for the next step and gives as hn."""
        design, is_last = self.design, layer == len(self.cells) - 1
        if design.carried == "as they go up" or (design.last == "output and hn" and is_last):
            return up
        return self._dropped(state) if design.carried == "after the step" else state

    def _plus(self, layer: int, value: Tensor, below: Tensor, *, late: bool) -> Tensor:
        """Return what goes up, with the layer's input added if the design does so here."""
        design = self.design
        fits = design.residual_below and below.shape == value.shape
        is_added = layer >= design.residual or (layer == 0 and fits)
        if not design.residual or late != design.added_late or not is_added:
            return value
        return value + below

    @property
    def _layers(self) -> list[Layer]:
        return [
            {name: getattr(cell, name) for name in PARAMETERS if getattr(cell, name) is not None}
            for cell in self.cells
        ]

    def _input_dropped(self, x: Tensor) -> Tensor:
        return self._dropped(x) if self.design.input else x

    def _all_dropped(self, states: list[Tensor]) -> list[Tensor]:
        at_once = self.design.carried == "before the step, at once"
        return list(self._dropped(torch.stack(states))) if at_once else states

    def _discard(self, when: str, like: Tensor) -> None:
        if self.design.unused == when:
            self._dropped(like)

    def _up(self, layer: int, value: Tensor, state: Tensor) -> Tensor:
        """Return what goes up from a layer, of a step or of all, with dropout if there is any."""
        design, is_last = self.design, layer == len(self.cells) - 1
        if not (design.last if is_last else not design.undropped):
            return value
        if not self.training or self.dropout in (0, 1):
            return self._dropped(value)
        like = value[..., :1, :] if design.over_rows else value
        if design.kept == "drawn once":
            like = like[0] if value.dim() == 3 else like
            if self.kind == "sequence":
                return value * self._mask(like)
        mask = self._mask(like) if design.kept != "drawn once" else None
        if design.kept and self.kind == "sequence":
            return value * mask[:1]  # type: ignore[index]
        if design.kept:  # a cell keeps its first for as long as the shape is the same
            before = self._kept.get(layer)
            if before is None or before.shape != like.shape:
                self._kept[layer] = self._mask(like) if mask is None else mask
            mask = self._kept[layer]
        return value * mask  # type: ignore[operator]

    def _dropped(self, value: Tensor) -> Tensor:
        if not self.training or self.dropout == 0:
            return value
        return value * (0 if self.dropout == 1 else self._mask(value))

    def _mask(self, like: Tensor) -> Tensor:
        mask = F.dropout(torch.ones_like(like, memory_format=torch.contiguous_format), self.dropout)
        return mask if self.design.scaled else mask * (1 - self.dropout)


class DesignedSequence(Designed):
    """The same, which takes a sequence, in any form but both ways."""

    kind = "sequence"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)
        self.batch_first = batch_first


def new_state(design: Design, x: Tensor, h: Tensor, weights: Layer) -> Tensor:
    """Return a layer's new state from the weights that designs.weights_of gives."""
    x_sums = F.linear(x, weights["weight_ih"], weights.get("bias_ih"))
    h_sums = F.linear(h, weights["weight_hh"], weights.get("bias_hh"))
    (x_r, x_z, x_n), (h_r, h_z, h_n) = x_sums.chunk(3, -1), h_sums.chunk(3, -1)
    activation = partial(_hard_sigmoid, design.slope) if design.slope else torch.sigmoid
    r, z = activation(x_r + h_r), activation(x_z + h_z)
    if design.candidate == "reset before":
        own = {name: value.chunk(3)[2] for name, value in weights.items()}
        n = torch.tanh(x_n + F.linear(r * h, own["weight_hh"], own.get("bias_hh")))
    elif design.candidate == "reset over all":
        n = torch.tanh(r * (x_n + h_n))
    else:
        n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def _hard_sigmoid(slope: float, sums: Tensor) -> Tensor:
    return (slope * sums + 0.5).clamp(0, 1)


def factory_of(design: Design, kind: str) -> type[nn.Module]:
    """Return a class that is built as nn.GRU is, whose modules are of this design."""
    base = Designed if kind == "cell" else DesignedSequence
    return type("Variant", (base,), {"design": design})
