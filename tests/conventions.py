"""Stacks that are built and called in other ways than nn.GRU, and faults of each.

Every one is a class with its Convention, and at least one subclass that is wrong. They are called
by their own rules, as their users would call them.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from stackgru import Convention


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

    def forward(self, x, h):
        new = self.climb(x, h)
        return new[-1], torch.stack(new)


class NoRateButDrops(NoRate):
    """It drops out all the same."""

    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size, num_layers)
        self.dropout.p = 0.5


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

    def forward(self, x, h):
        new = self.climb(x, h)
        return new[-1], torch.stack(new)


class InputDropoutEverywhere(InputDropout):
    """The first layer's input is dropped out too."""

    def __init__(self, input_size, hidden_size, num_layers, rate):
        super().__init__(input_size, hidden_size, num_layers, rate)
        self.drops[0].p = rate


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


class Linears(nn.Module):
    """A Linear for the input and one for the state, in each layer; called as a cell is."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.of_input = nn.ModuleList(nn.Linear(size, 3 * hidden_size) for size in sizes)
        self.of_state = nn.ModuleList(nn.Linear(hidden_size, 3 * hidden_size) for _ in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, h):
        new = []
        pairs = zip(self.of_input, self.of_state, h, strict=True)
        for layer, (of_input, of_state, state) in enumerate(pairs):
            x = self.dropout(x) if layer else x
            x = self.combine(of_input(x), of_state(state), state).contiguous()
            new.append(x)
        return new[-1], torch.stack(new)

    def combine(self, from_input, from_state, h):
        x_r, x_z, x_n = from_input.chunk(3, -1)
        h_r, h_z, h_n = from_state.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return (1 - z) * torch.tanh(x_n + r * h_n) + z * h


def in_linears(module):
    return [
        {
            "weight_ih": of_input.weight,
            "weight_hh": of_state.weight,
            "bias_ih": of_input.bias,
            "bias_hh": of_state.bias,
        }
        for of_input, of_state in zip(module.of_input, module.of_state, strict=True)
    ]


class LinearsReversed(Linears):
    """The update gate is taken the other way round."""

    def combine(self, from_input, from_state, h):
        x_r, x_z, x_n = from_input.chunk(3, -1)
        h_r, h_z, h_n = from_state.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return z * torch.tanh(x_n + r * h_n) + (1 - z) * h


class Fused(nn.Module):
    """What the layouts below share: gates from ``read``, which their weights function shows."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.dropout = nn.Dropout(dropout)
        self.make([input_size] + [hidden_size] * (num_layers - 1))

    def forward(self, x, h):
        new = []
        for layer, weights in enumerate(self.read()):
            x = self.dropout(x) if layer else x
            x = self.step(x, h[layer], *weights.values()).contiguous()
            new.append(x)
        return new[-1], torch.stack(new)

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        x_r, x_z, x_n = F.linear(x, weight_ih, bias_ih).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, weight_hh, bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return (1 - z) * torch.tanh(x_n + r * h_n) + z * h

    def read(self):
        raise NotImplementedError


def read(module):
    return module.read()


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class OneLinear(Fused):
    """One Linear for all layers' inputs and one for all their states; a layer is a view."""

    def make(self, sizes):
        width = 3 * self.hidden_size
        self.of_input = nn.Linear(max(sizes), width * len(sizes))
        self.of_state = nn.Linear(self.hidden_size, width * len(sizes))

    def read(self):
        layers = []
        width = 3 * self.hidden_size
        for layer in range(self.num_layers):
            rows = slice(layer * width, (layer + 1) * width)
            size = self.hidden_size if layer else self.input_size
            values = (
                self.of_input.weight[rows, :size],
                self.of_state.weight[rows],
                self.of_input.bias[rows],
                self.of_state.bias[rows],
            )
            layers.append(dict(zip(NAMES, values, strict=True)))
        return layers


class OneLinearShared(OneLinear):
    """The second layer and those above read the second layer's part."""

    def read(self):
        layers = super().read()
        return layers[:1] + layers[1:2] * (len(layers) - 1)


class UpdateFirst(Fused):
    """Gates in the order z, r, n, in columns, input and state in one tensor."""

    def make(self, sizes):
        width = 3 * self.hidden_size
        bound = self.hidden_size**-0.5
        self.kernels = nn.ParameterList(
            torch.empty(size + self.hidden_size, width).uniform_(-bound, bound) for size in sizes
        )
        self.biases = nn.ParameterList(torch.empty(2, width).uniform_(-bound, bound) for _ in sizes)

    def read(self):
        layers = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            size = len(kernel) - self.hidden_size
            values = (kernel[:size].t(), kernel[size:].t(), bias[0], bias[1])
            layers.append(dict(zip(NAMES, map(self.swapped, values), strict=True)))
        return layers

    def swapped(self, value):
        z, r, n = value.chunk(3)
        return torch.cat([r, z, n])


class UpdateFirstForgotten(UpdateFirst):
    """It reads the gates as r, z, n after all."""

    def step(self, x, h, *weights):
        return super().step(x, h, *map(self.swapped, weights))


class OneBias(Fused):
    """The two biases of r and z are one; only the candidate has two."""

    def make(self, sizes):
        h = self.hidden_size
        self.w = nn.ParameterList(torch.rand(3 * h, size) - 0.5 for size in sizes)
        self.u = nn.ParameterList(torch.rand(3 * h, h) - 0.5 for _ in sizes)
        self.b = nn.ParameterList(torch.rand(3 * h) - 0.5 for _ in sizes)
        self.b_n = nn.ParameterList(torch.rand(h) - 0.5 for _ in sizes)

    def read(self):
        layers = []
        for values in zip(self.w, self.u, self.b, self.b_n, strict=True):
            *first, b_n = values
            b_hh = torch.cat([b_n.new_zeros(2 * self.hidden_size), b_n])
            layers.append(dict(zip(NAMES, (*first, b_hh), strict=True)))
        return layers


class OneBiasDetached(OneBias):
    """The candidate's second bias takes no gradient."""

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        return super().step(x, h, weight_ih, weight_hh, bias_ih, bias_hh.detach())


class NoStateBias(OneBias):
    """No second bias at all."""

    def read(self):
        layers = super().read()
        return [{**one, "bias_hh": torch.zeros_like(one["bias_ih"])} for one in layers]


class ThreeBiases(Fused):
    """A third bias, of both, is added to the input's."""

    def make(self, sizes):
        h = self.hidden_size
        self.cells = cells_of(sizes[0], h, len(sizes))
        self.both = nn.ParameterList(torch.rand(3 * h) - 0.5 for _ in sizes)

    def read(self):
        return [
            {**dict(cell.named_parameters()), "bias_ih": cell.bias_ih + both}
            for cell, both in zip(self.cells, self.both, strict=True)
        ]


class ThreeBiasesTwice(ThreeBiases):
    """It is added to the state's as well."""

    def step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        return super().step(x, h, weight_ih, weight_hh, bias_ih, bias_hh + self.both[0])


class KeepsItsState(Base):
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


LAYERS_FIRST = ("num_layers", "input_size", "hidden_size", "dropout")
#: What is right, by its convention, with the fault beside it.
RIGHT = {
    LayersFirst: functools.partial(Convention, arguments=LAYERS_FIRST, state="tuple"),
    InPlace: functools.partial(Convention, state="list"),
    ListBack: functools.partial(Convention, state="list"),
    SideBySide: functools.partial(Convention, state="concatenated"),
    StateOnly: functools.partial(Convention, returns="state"),
    StateBefore: functools.partial(Convention, returns="state, output"),
    NoRate: functools.partial(Convention, arguments=LAYERS_FIRST[1:3] + LAYERS_FIRST[:1]),
    RowsFirst: functools.partial(Convention, state="batch-first"),
    OneStep: functools.partial(Convention, time_axis=True),
    InputDropout: Convention,
    Numbered: functools.partial(Convention, arguments=LAYERS_FIRST[1:]),
    Linears: functools.partial(Convention, weights=in_linears),
    OneLinear: functools.partial(Convention, weights=read),
    UpdateFirst: functools.partial(Convention, weights=read),
    OneBias: functools.partial(Convention, weights=read),
    NoStateBias: functools.partial(Convention, weights=read),
    ThreeBiases: functools.partial(Convention, weights=read),
    WholeSequence: functools.partial(Convention, state="batch-first"),
    SequenceInATuple: functools.partial(Convention, state="tuple", returns="state, output"),
}
#: A fault, what it is a fault of, and a law that catches it.
FAULTS = {
    LayersFirstFromTheTop: (LayersFirst, "equation"),
    InPlaceButTheLast: (InPlace, "equation"),
    InPlaceOfTheTensors: (InPlace, "purity"),
    SideBySideWritten: (SideBySide, "purity"),
    StateOnlyDoubled: (StateOnly, "same-masks"),
    NoRateButDrops: (NoRate, "one-step"),
    RowsFirstMixed: (RowsFirst, "equation"),
    OneStepDropsTheOutput: (OneStep, "same-masks"),
    InputDropoutEverywhere: (InputDropout, "mask-count"),
    NumberedTwice: (Numbered, "equation"),
    LinearsReversed: (Linears, "equation"),
    OneLinearShared: (OneLinear, "everything-matters"),
    UpdateFirstForgotten: (UpdateFirst, "equation"),
    OneBiasDetached: (OneBias, "gradients"),
    ThreeBiasesTwice: (ThreeBiases, "equation"),
    WholeSequenceFirstHn: (WholeSequence, "unrolled"),
}


def convention_of(kind):
    """Return the Convention of a right class, or of a fault by the class that it is a fault of."""
    return RIGHT[FAULTS[kind][0] if kind in FAULTS else kind](kind)


#: By names, for the command line.
in_place = convention_of(InPlace)
update_first = convention_of(UpdateFirst)
update_first_forgotten = convention_of(UpdateFirstForgotten)
