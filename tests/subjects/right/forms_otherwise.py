"""Right sequence modules as others write them, which are called in every way that nn.GRU is."""

from __future__ import annotations

import functools
import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from tests.subjects import classes_in
from tests.subjects.right.layouts import Renamed


class _AllForms(nn.Module):
    one_way = nn.GRUCell

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        dropout=0.0,
        bias=True,
        batch_first=False,
        bidirectional=False,
    ):
        super().__init__()
        self.hidden_size, self.num_layers, self.batch_first = hidden_size, num_layers, batch_first
        self.directions = 2 if bidirectional else 1
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList()
        for layer in range(num_layers):
            width = self.directions * hidden_size if layer else input_size
            ways = (self.one_way(width, hidden_size, bias=bias) for _ in range(self.directions))
            self.layers.append(nn.ModuleList(ways))

    def forward(self, input, h0=None):
        if isinstance(input, PackedSequence):
            return self.packed(input, h0)
        x = input if input.dim() == 3 else input.unsqueeze(1)
        if self.batch_first and input.dim() == 3:
            x = x.transpose(0, 1)
        if h0 is None:
            h0 = self.zeros(x)
        elif input.dim() == 2:
            h0 = h0.unsqueeze(1)
        output, hn = self.padded(x, h0, [len(x)] * x.shape[1])
        if input.dim() == 2:
            return output.squeeze(1), hn.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output, hn

    def zeros(self, x):
        return x.new_zeros(self.num_layers * self.directions, x.shape[1], self.hidden_size)

    def packed(self, input, h0):
        """Run on padded sequences, in sorted order."""
        data, sizes, to_sorted, to_unsorted = input
        x, lengths = pad_packed_sequence(PackedSequence(data, sizes))
        h0 = self.zeros(x) if h0 is None else _permuted(h0, to_sorted)
        output, hn = self.padded(x, h0, lengths.tolist())
        output = output[_alive(x, lengths.tolist())]
        return PackedSequence(output, sizes, to_sorted, to_unsorted), _permuted(hn, to_unsorted)

    def padded(self, x, h0, lengths):
        """Return (T, B, D * H) and the last states; what follows the end of a row is not read."""
        return self.stack(x, h0, _alive(x, lengths), lambda x, layer: self.dropout(x.contiguous()))

    def stack(self, x, h0, alive, drop):
        """All layers, whose every row keeps its state while it is not alive."""
        hn = []
        for layer, (cells, old) in enumerate(self.with_states(h0)):
            x, states = self.layer(cells, drop(x, layer - 1) if layer else x, old, alive)
            hn.append(states)
        return x, torch.cat(hn)

    def with_states(self, h0):
        return zip(self.layers, h0.split(self.directions), strict=True)

    def layer(self, cells, x, old, alive):
        ways = zip(cells, old, (False, True), strict=False)
        results = [self.over_time(cell, x, state, alive, back) for cell, state, back in ways]
        outputs, states = zip(*results, strict=True)
        return torch.cat(outputs, -1), torch.stack(states)

    def over_time(self, cell, x, state, alive, backwards):
        turn = reversed if backwards else list
        outputs = []
        for step, lives in turn(list(zip(x, alive.unsqueeze(-1), strict=True))):
            state = torch.where(lives, cell(step, state), state)
            outputs.append(state)
        return torch.stack(list(turn(outputs))), state


def _permuted(state, order):
    return state if state is None or order is None else state.index_select(1, order)


def _alive(x, lengths):
    """Return which steps rows of these lengths have, (T, B)."""
    steps = torch.arange(len(x), device=x.device).unsqueeze(1)
    return steps < torch.tensor(lengths, dtype=torch.long, device=x.device)


class PaddedAndMasked(_AllForms):
    """Packed rows are padded; one that has ended, or has not begun backwards, keeps its state."""


class RowAfterRow(_AllForms):
    """A layer takes row after row, each with its own length; they are padded at the end."""

    def padded(self, x, h0, lengths):
        rows, hn = x.split(1, 1), []
        rows = [row[:end] for row, end in zip(rows, lengths or [len(x)], strict=True)]
        alive = [torch.ones_like(row[..., 0], dtype=torch.bool) for row in rows]
        for cells, old in self.with_states(h0):
            rows = [self.dropout(row) for row in rows] if hn else rows
            results = map(functools.partial(self.layer, cells), rows, old.split(1, 1), alive)
            rows, states = zip(*results, strict=True)
            hn.append(torch.cat(states, 1))
        rows = [F.pad(row, (0, 0, 0, 0, 0, len(x) - len(row))) for row in rows]
        return torch.cat(rows, 1), torch.cat(hn)


class _PlainCell(nn.GRUCell):
    def forward(self, x, h):  # nn.GRUCell's own cannot be mapped without a warning
        x_r, x_z, x_n = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return n + torch.sigmoid(x_z + h_z) * (h - n)


if hasattr(torch, "vmap"):

    class RowsMapped(_AllForms):
        """Written without a batch, and mapped over the rows; masks are drawn before."""

        one_way = _PlainCell

        def padded(self, x, h0, lengths):
            shape = self.num_layers - 1, *x.shape[:2], self.directions * self.hidden_size
            masks = self.dropout(x.new_ones(shape))
            results = torch.vmap(self.row, (1, 1, 1, 2), 1)(x, h0, _alive(x, lengths), masks)
            return tuple(one.contiguous() for one in results)

        def row(self, x, h0, alive, masks):
            return self.stack(x, h0, alive, lambda x, gap: x * masks[gap])


class DirectionsTogether(_AllForms):
    """Both directions are a batch of two; a row is turned round within its own length."""

    def layer(self, cells, x, old, alive):
        steps, ends = torch.arange(len(x), device=x.device).unsqueeze(1), alive.sum(0)
        turned = torch.where(alive, ends - 1 - steps, steps).unsqueeze(-1)
        ways = torch.stack([x, x.gather(0, turned.expand_as(x))][: self.directions], 1)
        outputs = []
        for step, lives in zip(ways, alive.unsqueeze(-1), strict=True):
            x_r, x_z, x_n = self.products(cells, step, "ih").chunk(3, -1)
            h_r, h_z, h_n = self.products(cells, old, "hh").chunk(3, -1)
            z = torch.sigmoid(x_z + h_z)
            new = (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * old
            old = torch.where(lives, new, old)
            outputs.append(old)
        output, *back = torch.stack(outputs).unbind(1)
        back = [one.gather(0, turned.expand_as(one)) for one in back]
        return torch.cat([output, *back], -1), old

    def products(self, cells, values, name):
        weights = torch.stack([getattr(cell, f"weight_{name}").t() for cell in cells])
        if not cells[0].bias:
            return torch.bmm(values, weights)
        biases = torch.stack([getattr(cell, f"bias_{name}") for cell in cells])
        return torch.baddbmm(biases.unsqueeze(1), values, weights)


class FlatRows(_AllForms):
    """All rows of all steps lie in one tensor, packed or not, and outputs are written into one."""

    def padded(self, x, h0, lengths):
        output, hn = self.flat(x.flatten(0, 1), [x.shape[1]] * len(x), h0)
        return output.unflatten(0, x.shape[:2]), hn

    def packed(self, input, h0):
        data, sizes, to_sorted, to_unsorted = input
        h0 = self.zeros(data[None, : sizes[0]]) if h0 is None else _permuted(h0, to_sorted)
        output, hn = self.flat(data, sizes.tolist(), h0)
        return PackedSequence(output, sizes, to_sorted, to_unsorted), _permuted(hn, to_unsorted)

    def flat(self, x, sizes, h0):
        hn = []
        for cells in self.layers:
            x = self.dropout(x) if hn else x
            outputs = x.new_empty(len(x), self.directions, self.hidden_size)
            steps = list(zip(sizes, itertools.accumulate(sizes), strict=True))
            for direction, cell in enumerate(cells):
                states = h0[len(hn)]
                for size, end in reversed(steps) if direction else steps:
                    outputs[end - size : end, direction] = cell(x[end - size : end], states[:size])
                    states = torch.cat([outputs[end - size : end, direction], states[size:]])
                hn.append(states)
            x = outputs.flatten(1)
        return x, torch.stack(hn)


class LayerCalls(Renamed):
    """A subclass of nn.GRU that makes a fused call for each layer, with dropout between them."""

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            data, sizes, to_sorted, to_unsorted = input
            output, hn = self.calls(data, _permuted(hx, to_sorted), int(sizes[0]), sizes)
            return PackedSequence(output, sizes, to_sorted, to_unsorted), _permuted(hn, to_unsorted)
        if input.dim() == 2:
            hx = None if hx is None else hx.unsqueeze(1)
            output, hn = self.calls(input.unsqueeze(1), hx, 1)
            return output.squeeze(1), hn.squeeze(1)
        x = input.transpose(0, 1) if self.batch_first else input
        output, hn = self.calls(x, hx, x.shape[1])
        return output.transpose(0, 1) if self.batch_first else output, hn

    def calls(self, x, hx, rows, *sizes):
        """One call for each layer, over (T, B, I), or packed data and the sizes of its steps."""
        directions = 2 if self.bidirectional else 1
        zeros = x.new_zeros(self.num_layers * directions, rows, self.hidden_size)
        options = self.bias, 1, 0.0, self.training, self.bidirectional, *(() if sizes else (False,))
        hn = []
        for layer, states in enumerate((zeros if hx is None else hx).split(directions)):
            if layer:
                x = F.dropout(x.flatten(0, -2), self.dropout, self.training).view(x.shape)
            weights = list(itertools.chain(*self.all_weights[layer * directions :][:directions]))
            x, state = torch._VF.gru(x, *sizes, states, weights, *options)
            hn.append(state)
        return x, torch.cat(hn)


def _with_data(sequence, data):
    return PackedSequence(data, *sequence[1:]) if isinstance(sequence, PackedSequence) else data


def _data(sequence):
    return sequence.data if isinstance(sequence, PackedSequence) else sequence


class PairsOfOneWayGRUs(_AllForms):
    """An nn.GRU of one layer for each direction; the second takes its sequences turned round."""

    def one_way(self, *sizes, bias):
        return nn.GRU(*sizes, bias=bias, batch_first=self.batch_first)

    def forward(self, input, h0=None):
        hn = []
        for ways in self.layers:
            input = _with_data(input, self.dropout(_data(input))) if hn else input
            outputs = []
            for gru, turn in zip(ways, (lambda one: one, self.turned), strict=False):
                output, state = gru(turn(input), None if h0 is None else h0[len(hn)].unsqueeze(0))
                outputs.append(_data(turn(output)))
                hn.append(state)
            input = _with_data(input, torch.cat(outputs, -1))
        return input, torch.cat(hn)

    def turned(self, sequence):
        if not isinstance(sequence, PackedSequence):
            return sequence.flip(1 if self.batch_first and sequence.dim() == 3 else 0)
        sizes = sequence.batch_sizes.tolist()
        starts = [0, *itertools.accumulate(sizes)]
        lengths = [sum(size > row for size in sizes) for row in range(sizes[0])]
        places = ((step, row) for step, size in enumerate(sizes) for row in range(size))
        index = [starts[lengths[row] - 1 - step] + row for step, row in places]
        return _with_data(sequence, sequence.data[index])


class _DroppingLayer(nn.GRU):
    def forward(self, passed):
        sequence, old, new = passed
        sequence = _with_data(sequence, F.dropout(_data(sequence), self.rate, self.training))
        output, state = super().forward(sequence, next(old))
        return output, old, [*new, state]


class LayersInSequence(nn.Sequential):
    """An nn.Sequential of subclasses of nn.GRU, each of which drops its own input."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bias=True, **layouts):
        super().__init__()
        for layer in range(num_layers):
            width = hidden_size * (1 + layouts.get("bidirectional", False)) if layer else input_size
            one = _DroppingLayer(width, hidden_size, bias=bias, **layouts)
            one.rate = dropout if layer else 0.0
            self.append(one)

    def forward(self, input, h0=None):
        old = itertools.repeat(None) if h0 is None else iter(h0.split(1 + self[0].bidirectional))
        output, _, states = super().forward((input, old, []))
        return output, torch.cat(states)


FORMS = tuple(one for one in classes_in(__name__) if one.__doc__)
