"""Stacks that are built and called in other ways than nn.GRU, and faults of each.

They are called by their own rules, as their users would call them; catalogue.py says by which.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def cells_of(input_size, hidden_size, num_layers):
    sizes = [input_size] + [hidden_size] * (num_layers - 1)
    return nn.ModuleList(nn.GRUCell(size, hidden_size) for size in sizes)


class Base(nn.Module):
    """Cells in a list; what follows hands in a list of states and gives one back."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__()
        self.hidden_size = hidden_size
        self.cells = cells_of(input_size, hidden_size, num_layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, h):
        new = self.climb(x, h)
        return new[-1], torch.stack(new)

    def climb(self, x, states):
        new = []
        for layer, cell in enumerate(self.cells):
            x = cell(self.below(x, layer), states[layer]).contiguous()
            new.append(x)
        return new

    def below(self, x, layer):
        return self.dropout(x) if layer else x


class LayersFirst(Base):
    """The number of layers first, the state in a tuple of one, as OpenNMT-py has it."""

    def __init__(self, n_layers, n_in, n_hidden, rate):
        super().__init__(n_in, n_hidden, n_layers, rate)

    def forward(self, x, hidden):
        new = self.climb(x, hidden[0])
        return new[-1], (torch.stack(new),)


class LayersFirstFromTheTop(LayersFirst):
    """The states come back from the last layer to the first."""

    def forward(self, x, hidden):
        output, (hn,) = super().forward(x, hidden)
        return output, (hn.flip(0),)


class InPlace(Base):
    """The list of states is changed in place, and the output alone is given."""

    def forward(self, x, states):
        for layer, cell in enumerate(self.cells):
            states[layer] = x = cell(self.below(x, layer), states[layer])
        return x


class InPlaceButTheLast(InPlace):
    """The last layer's state is not put into the list."""

    def forward(self, x, states):
        last = states[-1]
        output = super().forward(x, states)
        states[-1] = last
        return output


class InPlaceOfTheTensors(InPlace):
    """The tensors that were handed in are written over, not the list alone."""

    def forward(self, x, states):
        before = list(states)
        output = super().forward(x, states)
        with torch.no_grad():
            for old, new in zip(before, states, strict=True):
                old.copy_(new)
        return output


class ListBack(Base):
    """A list of states in, and a new one out."""

    def forward(self, x, states):
        new = self.climb(x, states)
        return new[-1], new


class SideBySide(Base):
    """The states beside each other in the last axis."""

    def forward(self, x, state):
        new = self.climb(x, state.chunk(len(self.cells), -1))
        return new[-1], torch.cat(new, -1)


class SideBySideWritten(SideBySide):
    """The new states are written over those that were handed in."""

    def forward(self, x, state):
        output, new = super().forward(x, state)
        with torch.no_grad():
            state.copy_(new)
        return output, new


class StateOnly(Base):
    """The states alone come back."""

    def forward(self, x, h):
        return torch.stack(self.climb(x, h))


class StateOnlyDoubled(StateOnly):
    """The dropout of the layer above is in the state."""

    def below(self, x, layer):
        return x

    def forward(self, x, h):
        return self.dropout(super().forward(x, h))


class StateBefore(Base):
    """The states come before the output."""

    def forward(self, x, h):
        new = self.climb(x, h)
        return torch.stack(new), new[-1]


class NoRate(Base):
    """A constructor without dropout."""

    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size, num_layers)


class NoRateButDrops(NoRate):
    """It drops out all the same, and no part of it says so."""

    def below(self, x, layer):
        return F.dropout(x, 0.5, self.training) if layer else x


class OwnRate(NoRate):
    """It drops out at a rate of its own."""

    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size, num_layers)
        self.dropout.p = 0.5


class OwnRateAboveToo(OwnRate):
    """The output of the last layer is dropped out as well."""

    def forward(self, x, h):
        output, hn = super().forward(x, h)
        return self.dropout(output), hn


class RowsFirst(Base):
    """States with the rows first."""

    def forward(self, x, h):
        new = self.climb(x, h.unbind(1))
        return new[-1], torch.stack(new, 1)


class RowsFirstMixed(RowsFirst):
    """Each layer starts from the first layer's state."""

    def forward(self, x, h):
        return super().forward(x, h[:, :1].expand_as(h))


class OneStep(Base):
    """A time axis of one step."""

    def forward(self, x, h):
        new = self.climb(x[0], h)
        return new[-1].unsqueeze(0), torch.stack(new)


class OneStepDropsTheOutput(OneStep):
    """The output is dropped out too."""

    def forward(self, x, h):
        output, hn = super().forward(x, h)
        return self.dropout(output), hn


class InputDropout(Base):
    """Each layer has its own dropout, on its input; the first has a rate of zero."""

    def __init__(self, input_size, hidden_size, num_layers, rate):
        super().__init__(input_size, hidden_size, num_layers)
        rates = [0.0] + [rate] * (num_layers - 1)
        self.drops = nn.ModuleList(nn.Dropout(rate) for rate in rates)

    def below(self, x, layer):
        return self.drops[layer](x)


class InputDropoutEverywhere(InputDropout):
    """The first layer's input is dropped out too."""

    def __init__(self, input_size, hidden_size, num_layers, rate):
        super().__init__(input_size, hidden_size, num_layers, rate)
        self.drops[0].p = rate


class WholeSequence(Base):
    """A sequence module, whose state comes and goes with the rows first."""

    def __init__(self, num_layers, input_size, hidden_size, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, dropout)

    def forward(self, steps, h):
        states = list(h.unbind(1))
        for layer, cell in enumerate(self.cells):
            steps = self.below(steps, layer)
            out = []
            for x in steps:
                states[layer] = cell(x, states[layer])
                out.append(states[layer])
            steps = torch.stack(out)
        return steps, torch.stack(states, 1)


class WholeSequenceFirstHn(WholeSequence):
    """The state that comes back is that after the first step."""

    def forward(self, steps, h):
        return super().forward(steps, h)[0], super().forward(steps[:1], h)[1]


class SequenceInATuple(WholeSequence):
    """The state in a tuple of one, and before the output."""

    def forward(self, steps, hidden):
        output, hn = super().forward(steps, hidden[0].transpose(0, 1))
        return (hn.transpose(0, 1),), output
