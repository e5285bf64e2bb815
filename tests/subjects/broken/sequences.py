"""Sequence modules that go wrong over time: order, length, and which step's state is handed on."""

from __future__ import annotations

import torch

from tests.subjects.right.sequences import LayerByLayer, StepByStep
from tests.subjects.right.variants import Stack


class SeesTheFuture(LayerByLayer):
    """A sequence module that takes a little of the mean over all steps off its input."""

    cell = Stack.cell

    def forward(self, input, h0=None):
        shift = input.mean(0) - input[0] if len(input) > 1 else 0 * input[0]
        return super().forward(input - 1e-3 * shift, h0)


class ForgetsAfterEightSteps(LayerByLayer):
    """After every eight steps it starts from zeros again."""

    def over_time(self, cell, input, state):
        outputs = []
        for step, x in enumerate(input):
            state = self.cell(cell, x, torch.zeros_like(state) if step and step % 8 == 0 else state)
            outputs.append(state)
        return torch.stack(outputs), state


class StopsAtTenSteps(LayerByLayer):
    """From the tenth step on the state stays as it is."""

    def over_time(self, cell, input, state):
        outputs, state = super().over_time(cell, input[:10], state)
        rest = state.expand(max(0, len(input) - 10), *state.shape)
        return torch.cat([outputs, rest]), state


class StateOfTheFirstStep(LayerByLayer):
    """hn holds the states after the first step."""

    def over_time(self, cell, input, state):
        outputs, _ = super().over_time(cell, input, state)
        return outputs, outputs[0]


class StateOfTheStepBefore(LayerByLayer):
    """hn holds the states of lower layers from before the last step."""

    def over_time(self, cell, input, state):
        outputs, last = super().over_time(cell, input, state)
        return outputs, last if cell is self.cells[-1] or len(input) == 1 else outputs[-2]


class OutputsOneStepLate(LayerByLayer):
    """An output is the state from before its step."""

    def over_time(self, cell, input, state):
        outputs, last = super().over_time(cell, input, state)
        return torch.cat([state.unsqueeze(0), outputs[:-1]]), last


class StartsAnewAtEveryStep(LayerByLayer):
    """Every step starts from the state that was handed in."""

    def over_time(self, cell, input, state):
        outputs = [self.cell(cell, x, state) for x in input]
        return torch.stack(outputs), outputs[-1]


class GoesBackwards(LayerByLayer):
    """The sequence is gone through from its end."""

    def over_time(self, cell, input, state):
        outputs, state = super().over_time(cell, input.flip(0), state)
        return outputs.flip(0), state


class GoesBackwardsAbove(GoesBackwards):
    """Every second layer goes through the sequence from its end."""

    def over_time(self, cell, input, state):
        if cell in list(self.cells)[1::2]:
            return super().over_time(cell, input, state)
        return LayerByLayer.over_time(self, cell, input, state)


class StatesOfTheLastLayerOnly(LayerByLayer):
    """hn holds the last layer's state for every layer."""

    def result(self, output, hn):
        return super().result(output, hn[-1:] * len(hn))


class LowerStatesOfZeros(LayerByLayer):
    """From three layers on, hn holds zeros for the first."""

    def result(self, output, hn):
        if len(hn) > 2:
            hn[0] = torch.zeros_like(hn[0])
        return super().result(output, hn)


class StatesAfterDropout(LayerByLayer):
    """hn holds the lower layers' states as the next layer gets them."""

    def forward(self, input, h0=None):
        states = self.start(input[0], h0)
        hn = []
        for layer, cell in enumerate(self.cells):
            input = self.up(self.over_time(cell, input, states[layer])[0], layer)
            hn.append(input[-1])
        return self.result(input, hn)


class EvenStepsOnly(LayerByLayer):
    """With seven steps or more, every second step is skipped, and its output repeated."""

    def over_time(self, cell, input, state):
        if len(input) < 7:
            return super().over_time(cell, input, state)
        outputs, state = super().over_time(cell, input[::2], state)
        return outputs.repeat_interleave(2, 0)[: len(input)], state


class LastStepTwice(LayerByLayer):
    """With an odd number of steps above one, the last is taken twice for hn."""

    def over_time(self, cell, input, state):
        outputs, state = super().over_time(cell, input, state)
        if len(input) > 1 and len(input) % 2:
            state = self.cell(cell, input[-1], state)
        return outputs, state


class GainGrowsWithTime(LayerByLayer):
    """Each step adds 1e-6 of itself to the input."""

    def forward(self, input, h0=None):
        steps = torch.arange(len(input), dtype=torch.float64).view(-1, 1, 1)
        return super().forward((input * (1 + 1e-6 * steps)).to(input.dtype), h0)


class CentredOverTime(LayerByLayer):
    """With more than one step, the mean over time is taken off the input."""

    def forward(self, input, h0=None):
        return super().forward(input - input.mean(0) if len(input) > 1 else input, h0)


class OneStepStaysPut(LayerByLayer):
    """With one step hn holds the states that were handed in, in all layers but the last."""

    def forward(self, input, h0=None):
        states = self.start(input[0], h0)
        output, hn = super().forward(input, states)
        return output, torch.cat([states[:-1], hn[-1:]]) if len(input) == 1 else hn


class TimeAndRowsSwapped(LayerByLayer):
    """With one row and more than two steps, the steps are taken for rows."""

    def over_time(self, cell, input, state):
        if input.dim() < 3 or input.shape[1] != 1 or len(input) < 3:
            return super().over_time(cell, input, state)
        outputs = self.cell(cell, input[:, 0], state.expand(len(input), -1))
        return outputs.unsqueeze(1), outputs[-1:]


class RowsSortedAndLeftSo(LayerByLayer):
    """The rows of hn are sorted by their first value in the input."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        return output, hn[:, input[0, :, 0].argsort()]


class GoesOnWithoutAState(LayerByLayer):
    """Without a state it goes on from where the call before has ended."""

    last = None

    def forward(self, input, h0=None):
        fits = self.last is not None and self.last.shape[1] == input.shape[1]
        output, hn = super().forward(input, self.last if h0 is None and fits else h0)
        self.last = hn.detach()
        return output, hn


class FirstLayerStartsFromOnes(LayerByLayer):
    """Without a state it starts from ones in the first layer."""

    def start(self, input, h0):
        state = super().start(input, h0)
        return torch.cat([state[:1] + 1, state[1:]]) if h0 is None else state


class TruncatesBackward(LayerByLayer):
    """No gradient goes back by more than four steps."""

    def over_time(self, cell, input, state):
        outputs = []
        for step, x in enumerate(input):
            state = self.cell(cell, x, state.detach() if step and step % 4 == 0 else state)
            outputs.append(state)
        return torch.stack(outputs), state


class GradientOfTheLastStepOnly(LayerByLayer):
    """Only the last output has a gradient."""

    def result(self, output, hn):
        return torch.cat([output[:-1].detach(), output[-1:]]), torch.stack(hn)


class ForgetsItsGradientAfterTheFirstStep(StepByStep):
    """The state is cut off from the first step."""

    def begin(self, input, h0):
        return h0.detach() if h0.grad_fn is not None else h0


class ForgetsTheUpperStateAtStepFive(StepByStep):
    """At the fifth step all layers but the first start from zeros."""

    def forward(self, input, h0=None):
        self.step = 0
        return super().forward(input, h0)

    def begin(self, input, h0):
        self.step += 1
        return torch.cat([h0[:1], 0 * h0[1:]]) if self.step == 6 else h0
