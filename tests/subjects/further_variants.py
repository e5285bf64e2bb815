"""Known variants of nn.GRU after public reports, one to three at once, and what each is called."""

from __future__ import annotations

import torch

from tests.subjects.broken.states import ResidualFromTheThirdLayer
from tests.subjects.broken.variants import ComplementedAndLastDropped, GatesUpdateFirst
from tests.subjects.diagnoses import COMPLEMENT, LAST, NOT_SCALED
from tests.subjects.right.sequences import LayerByLayer
from tests.subjects.right.variants import Stack, Written


class NothingDropped(Stack):
    """It takes a rate, and has no dropout."""

    def gap(self, state, layer):
        return state


class KernelsOfKeras(Written):
    """The weights, but not the biases, are taken to be in the order z, r, n."""

    def gates(self, cell, x, h):
        products = [
            update_first(self.linear(*factors, None))
            for factors in ((x, cell.weight_ih), (h, cell.weight_hh))
        ]
        if cell.bias:
            products = [
                product + bias
                for product, bias in zip(products, (cell.bias_ih, cell.bias_hh), strict=True)
            ]
        return self.activate(*products)


class StateWeightsOfKeras(Written):
    """What the state is multiplied by is taken to be in the order z, r, n, and its bias."""

    def activate(self, x_products, h_products):
        return super().activate(x_products, update_first(h_products))


def update_first(products):
    """Return r, z, n of products that hold z, r, n."""
    z, r, n = products.chunk(3, -1)
    return torch.cat([r, z, n], -1)


class ResetOverAll(Written):
    """The reset gate multiplies the whole sum of the candidate."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        x_n, h_n = x_products.chunk(3, -1)[2], h_products.chunk(3, -1)[2]
        return r, z, self.tanh(r * (x_n + h_n))


class UpdateLessOne(Written):
    """One is taken off the sum of the update gate."""

    def activate(self, x_products, h_products):
        x_r, x_z, x_n = x_products.chunk(3, -1)
        h_r, h_z, h_n = h_products.chunk(3, -1)
        r, z = self.sigmoid(x_r + h_r), self.sigmoid(x_z + h_z - 1)
        return r, z, self.tanh(x_n + r * h_n)


class WorldModels(ResetOverAll):
    """As in world models: the reset gate over all, and one taken off the update gate's sum."""

    def activate(self, x_products, h_products):
        one = torch.zeros_like(x_products)
        one.chunk(3, -1)[1].fill_(1)
        return super().activate(x_products - one, h_products)


class ResidualWhereItFits(Stack):
    """What a layer gets is added to what goes up, wherever the two are as wide."""

    def above(self, state, layer, below, old):
        return self.up(state + below if below.shape == state.shape else state, layer)


class EveryStepFromTheFirstState(LayerByLayer):
    """Each step starts from h0."""

    def over_time(self, cell, input, state):
        outputs = [self.cell(cell, x, state) for x in input]
        return torch.stack(outputs), outputs[-1]


class ZerosEveryFourSteps(LayerByLayer):
    """After each four steps the state is zero."""

    def over_time(self, cell, input, state):
        outputs = []
        for step, x in enumerate(input):
            state = self.cell(cell, x, state if step % 4 or not step else 0 * state)
            outputs.append(state)
        return torch.stack(outputs), state


class StatesInReverse(Stack):
    """h0 and hn hold the last layer first."""

    def begin(self, input, h0):
        return h0.flip(0)

    def end(self, output, hn):
        return output, hn.flip(0)


class HnInReverse(LayerByLayer):
    """hn holds the last layer first."""

    def end(self, output, hn):
        return output, hn.flip(0)


class H0InReverse(LayerByLayer):
    """h0 holds the last layer first."""

    def begin(self, input, h0):
        return h0.flip(0)


class ReorderedComplementedAndLastDropped(ComplementedAndLastDropped, GatesUpdateFirst):
    """Gates in another order, the update gate complemented, and the output dropped out."""


class ComplementedAndNotScaled(ResidualFromTheThirdLayer, Written):
    """The update gate complemented, residuals from the third layer on, kept values not scaled."""

    def update(self, r, z, n, h):
        return super().update(r, 1 - z, n, h)

    def gap(self, state, layer):
        dropped = super().gap(state, layer)
        return dropped * (1 - self.dropout.p) if self.training and self.dropout.p < 1 else dropped


OVER_ALL = "the reset gate applied to all of the candidate's sum"
LESS_ONE = "-1 added to the sum of the update gate"
EXPECTED = {
    NothingDropped: ("no dropout, although it takes a rate",),
    KernelsOfKeras: ("gates in the order z, r, n in weight_ih and weight_hh alone",),
    StateWeightsOfKeras: ("gates in the order z, r, n in weight_hh and bias_hh alone",),
    ResetOverAll: (OVER_ALL,),
    UpdateLessOne: (LESS_ONE,),
    WorldModels: (OVER_ALL, LESS_ONE),
    ResidualWhereItFits: ("residual connections wherever the widths agree",),
    EveryStepFromTheFirstState: ("a state that starts again from h0 every step",),
    ZerosEveryFourSteps: ("a state that starts again from zeros every 4 steps",),
    StatesInReverse: ("the layers of h0 and hn in reverse",),
    HnInReverse: ("the layers of hn in reverse",),
    H0InReverse: ("the layers of h0 in reverse",),
    ReorderedComplementedAndLastDropped: (COMPLEMENT, "gates in the order z, r, n", LAST),
    ComplementedAndNotScaled: (
        COMPLEMENT,
        "residual connections from the third layer on",
        NOT_SCALED,
    ),
}
