"""Cells that mix up states: their order, their layers, their owners, or how long they live."""

from __future__ import annotations

import torch

from tests.subjects.right.variants import Stack


class KeepsTheFirstState(Stack):
    """The first state handed in is kept, and mixed into those of later calls."""

    first = None

    def begin(self, input, h0):
        if self.first is None or self.first.shape != h0.shape:
            self.first = h0
        return (h0 + self.first) / 2


class OutputApart(Stack):
    """The output is computed apart from hn, in another order of operations."""

    def result(self, output, hn):
        return (output * 3) / 3 * (1 + 1e-7), torch.stack(hn)


class Tires(Stack):
    """From the fourth call on, the state that is handed in is forgotten."""

    calls = 0

    def start(self, input, h0):
        self.calls += 1
        h0 = super().start(input, h0)
        return torch.zeros_like(h0) if self.calls > 3 else h0


class MixesRows(Stack):
    """Each row takes a little of the mean of all rows."""

    def begin(self, input, h0):
        return h0 + 1e-9 * h0.mean(1, keepdim=True)


class StartsFromOnes(Stack):
    """Without a state it starts from ones."""

    def start(self, input, h0):
        return torch.ones_like(super().start(input, None)) if h0 is None else h0


class RemembersItsFirstStep(Stack):
    """From the second call on, the first result is given again."""

    first = None

    def end(self, output, hn):
        if self.first is None or self.first[1].shape != hn.shape:
            self.first = output, hn
        return self.first


class OutputOfTheFirstLayer(Stack):
    """The output is that of the first layer."""

    def result(self, output, hn):
        return super().result(hn[0].clone(), hn)  # the layers above need what it gave


class StatesInReverse(Stack):
    """The last layer's state comes first in hn."""

    def result(self, output, hn):
        return super().result(output, hn[::-1])


class StatesOfTheLastLayer(Stack):
    """hn holds the last layer's state for every layer."""

    def result(self, output, hn):
        return super().result(output, [output] * self.num_layers)


class StatesShifted(Stack):
    """Each layer gets the state of the layer above it."""

    def start(self, input, h0):
        return super().start(input, h0).roll(-1, 0)


class StatesSwappedAtDepthSix(Stack):
    """With six layers, the states of the fifth and the sixth are swapped."""

    def begin(self, input, h0):
        return h0[[0, 1, 2, 3, 5, 4]] if self.num_layers == 6 else h0


class LayersAndRowsMixed(Stack):
    """hn is put together row by row and read layer by layer."""

    def result(self, output, hn):
        return output, torch.stack(hn, 1).view(self.num_layers, *output.shape)


class UnitsInReverse(Stack):
    """The units of lower layers' states are in reverse order in hn."""

    def result(self, output, hn):
        return super().result(output, [state.flip(-1) for state in hn[:-1]] + hn[-1:])


class SharesTheFirstState(Stack):
    """Every layer gets the first layer's state."""

    def begin(self, input, h0):
        return h0[:1].expand_as(h0)


class ForgetsUpperStates(Stack):
    """From five layers on, all but the first start from zeros at every step."""

    def begin(self, input, h0):
        return torch.cat([h0[:1], torch.zeros_like(h0[1:])]) if len(h0) > 4 else h0


class ForgetsTheStateInTraining(Stack):
    """In training every step starts from zeros."""

    def start(self, input, h0):
        return super().start(input, None if self.training else h0)


class ForgetsAtASwitchOfRows(Stack):
    """The state is forgotten when the number of rows is not that of the call before."""

    rows = None

    def start(self, input, h0):
        known = self.rows in (None, len(input))
        self.rows = len(input)
        return super().start(input, h0 if known else None)


class TakesTheLastStateItGave(Stack):
    """From its second call on it goes on from the state that it gave, whatever it is handed."""

    last = None

    def start(self, input, h0):
        fits = self.last is not None and self.last.shape[1] == len(input)
        return self.last if fits else super().start(input, h0)

    def end(self, output, hn):
        self.last = hn.detach().to(output.dtype)
        return output, hn


class GoesOnFromItsLastState(TakesTheLastStateItGave):
    """Without a state it goes on from where the call before has ended."""

    def start(self, input, h0):
        return super().start(input, h0) if h0 is None else Stack.start(self, input, h0)


class RowsOfTheFirst(Stack):
    """Every row starts from the first row's state."""

    def begin(self, input, h0):
        return h0[:, :1].expand_as(h0)


class RowsRolled(Stack):
    """With two or three rows, hn has them one further than they were."""

    def end(self, output, hn):
        return output, hn.roll(1, 1) if len(output) in (2, 3) else hn


class OldStateGoesUp(Stack):
    """A layer gets the state below it from before the step."""

    def above(self, state, layer, below, old):
        return self.up(old if layer < self.num_layers - 1 else state, layer)


class ChainedStates(Stack):
    """A layer goes on from the new state below it, not from its own."""

    def forward(self, input, h0=None):
        state = self.start(input, h0)[0]
        hn = []
        for layer, cell in enumerate(self.cells):
            state = self.cell(cell, input, state).contiguous()
            hn.append(state)
            input = self.up(state, layer)
        return self.result(input, hn)


class LowestStateIsTheOldOne(Stack):
    """From three layers on, hn holds the first layer's state from before the step."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if self.num_layers < 3:
            return output, hn
        return output, torch.cat([self.start(input, h0)[:1], hn[1:]])


class ResidualFromTheThirdLayer(Stack):
    """From the third layer on, what a layer gets is added to what it gives."""

    def above(self, state, layer, below, old):
        return self.up(state + below if layer >= 2 else state, layer)


class OneCellForUpperLayers(Stack):
    """One cell serves all layers above the first."""

    def setup(self):
        for layer in range(2, self.num_layers):
            self.cells[layer] = self.cells[1]


class FifthLayerIsSkipped(Stack):
    """The fifth layer leaves its state as it is, and hands on what it gets."""

    def cell(self, cell, x, h):
        return h if cell in list(self.cells)[4:5] else super().cell(cell, x, h)

    def above(self, state, layer, below, old):
        return below if layer == 4 else self.up(state, layer)


class LayersFromTheTop(Stack):
    """From four layers on, the second and the third are gone through in reverse order."""

    def setup(self):
        if self.num_layers >= 4:
            self.order = (0, 2, 1, *range(3, self.num_layers))
        else:
            self.order = tuple(range(self.num_layers))

    def forward(self, input, h0=None):
        states = self.start(input, h0)
        hn = [None] * self.num_layers
        for place, layer in enumerate(self.order):
            hn[layer] = self.cell(self.cells[layer], input, states[layer]).contiguous()
            input = self.up(hn[layer], place)
        return self.result(input, hn)
