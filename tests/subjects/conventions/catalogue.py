"""What is built, called or laid out in other ways than nn.GRU: by which Convention, and faults."""

from __future__ import annotations

import functools

import torch
from torch import nn

from stackgru import Convention
from tests.subjects.conventions import called_otherwise as other
from tests.subjects.conventions import fused


class Numbered(nn.Module):
    """Always three layers, each an attribute of its own."""

    def __init__(self, input_size, hidden_size, dropout):
        super().__init__()
        self.gru_1 = nn.GRUCell(input_size, hidden_size)
        self.gru_2 = nn.GRUCell(hidden_size, hidden_size)
        self.gru_3 = nn.GRUCell(hidden_size, hidden_size)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, h):
        h_1, h_2, h_3 = h.contiguous()
        h_1 = self.gru_1(x, h_1)
        h_2 = self.gru_2(self.drop(h_1), h_2)
        h_3 = self.gru_3(self.drop(h_2), h_3)
        return h_3, torch.stack([h_1, h_2, h_3])


class NumberedTwice(Numbered):
    """The third layer is not called; the second is, twice."""

    def __init__(self, input_size, hidden_size, dropout):
        super().__init__(input_size, hidden_size, dropout)
        self.unused, self.gru_3 = self.gru_3, self.gru_2


class KeepsItsState(other.Base):
    """The states are kept on the module between calls."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.states = None

    def forward(self, x):
        self.states = self.climb(x, self.states)
        return self.states[-1]


class KeepsItsFirstState(KeepsItsState):
    """A state that was set is kept, whatever it is called with."""

    def forward(self, x):
        before = self.states
        output = super().forward(x)
        self.states = [before[0], *self.states[1:]]
        return output


class Wrapped(nn.Module):
    """What a user writes around a stack that keeps its states: sets them, and takes them out."""

    def __init__(self, kind, *sizes):
        super().__init__()
        self.stack = kind(*sizes)

    def forward(self, x, h):
        self.stack.states = list(h.unbind())
        output = self.stack(x)
        states, self.stack.states = self.stack.states, None
        return output, torch.stack(states)


def wrapped(kind):
    def build(input_size, hidden_size, num_layers, dropout):
        return Wrapped(kind, input_size, hidden_size, num_layers, dropout)

    build.__name__ = build.__qualname__ = kind.__name__
    return build


LAYERS_FIRST = ("num_layers", "input_size", "hidden_size", "dropout")
#: What is right, by its convention, with the fault beside it.
RIGHT = {
    other.LayersFirst: functools.partial(Convention, arguments=LAYERS_FIRST, state="tuple"),
    other.InPlace: functools.partial(Convention, state="list"),
    other.ListBack: functools.partial(Convention, state="list"),
    other.SideBySide: functools.partial(Convention, state="concatenated"),
    other.StateOnly: functools.partial(Convention, returns="state"),
    other.StateBefore: functools.partial(Convention, returns="state, output"),
    other.NoRate: functools.partial(Convention, arguments=LAYERS_FIRST[1:3] + LAYERS_FIRST[:1]),
    other.OwnRate: functools.partial(Convention, arguments=LAYERS_FIRST[1:3] + LAYERS_FIRST[:1]),
    other.RowsFirst: functools.partial(Convention, state="batch-first"),
    other.OneStep: functools.partial(Convention, time_axis=True),
    other.InputDropout: Convention,
    Numbered: functools.partial(Convention, arguments=LAYERS_FIRST[1:]),
    fused.Linears: functools.partial(Convention, weights=fused.in_linears),
    fused.OneLinear: functools.partial(Convention, weights=fused.read),
    fused.UpdateFirst: functools.partial(Convention, weights=fused.read),
    fused.OneBias: functools.partial(Convention, weights=fused.read),
    fused.NoStateBias: functools.partial(Convention, weights=fused.read),
    fused.ThreeBiases: functools.partial(Convention, weights=fused.read),
    other.WholeSequence: functools.partial(Convention, state="batch-first"),
    other.SequenceInATuple: functools.partial(Convention, state="tuple", returns="state, output"),
}
#: A fault, what it is a fault of, and a law that catches it.
FAULTS = {
    other.LayersFirstFromTheTop: (other.LayersFirst, "equation"),
    other.InPlaceButTheLast: (other.InPlace, "equation"),
    other.InPlaceOfTheTensors: (other.InPlace, "purity"),
    other.SideBySideWritten: (other.SideBySide, "purity"),
    other.StateOnlyDoubled: (other.StateOnly, "same-masks"),
    other.NoRateButDrops: (other.NoRate, "one-step"),
    other.OwnRateAboveToo: (other.OwnRate, "one-step"),
    other.RowsFirstMixed: (other.RowsFirst, "equation"),
    other.OneStepDropsTheOutput: (other.OneStep, "same-masks"),
    other.InputDropoutEverywhere: (other.InputDropout, "mask-count"),
    NumberedTwice: (Numbered, "equation"),
    fused.LinearsReversed: (fused.Linears, "equation"),
    fused.OneLinearShared: (fused.OneLinear, "everything-matters"),
    fused.UpdateFirstForgotten: (fused.UpdateFirst, "equation"),
    fused.OneBiasDetached: (fused.OneBias, "gradients"),
    fused.ThreeBiasesTwice: (fused.ThreeBiases, "equation"),
    other.WholeSequenceFirstHn: (other.WholeSequence, "unrolled"),
}


def convention_of(kind):
    """Return the Convention of a right class, or of a fault by the class that it is a fault of."""
    return RIGHT[FAULTS[kind][0] if kind in FAULTS else kind](kind)


#: By names, for the command line.
in_place = convention_of(other.InPlace)
update_first = convention_of(fused.UpdateFirst)
update_first_forgotten = convention_of(fused.UpdateFirstForgotten)
