"""What people have: encoders without a state, batch-first sequences, constructors of other kinds.

Each right class stands beside a fault that the same convention has to show.
"""

from __future__ import annotations

import torch
from torch import nn

from stackgru import StackingGRUCell


class Encoder(nn.Module):
    """Takes the input alone, and returns the output alone."""

    batch_first = False

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__()
        self.rnn = nn.GRU(
            input_size, hidden_size, num_layers, dropout=dropout, batch_first=self.batch_first
        )

    def forward(self, x):
        return self.rnn(x)[0]


class EncoderOffByAHair(Encoder):
    """Its output is a millionth too large."""

    def forward(self, x):
        return self.rnn(x)[0] * (1 + 1e-6)


class EncoderDetached(Encoder):
    """No gradient comes back through its output."""

    def forward(self, x):
        return super().forward(x).detach().requires_grad_(x.requires_grad)


class EncoderThatRemembers(Encoder):
    """Begins with the state in which it ended, which no call shows."""

    state = None

    def forward(self, x):
        fits = self.state is not None and self.state.shape[1:-1] == x.shape[1:-1]
        output, hn = self.rnn(x, self.state.to(x) if fits else None)
        self.state = hn.detach()
        return output


class WithoutState(Encoder):
    """Takes the input alone, and returns output and state."""

    def forward(self, x):
        return self.rnn(x)


class WithoutStateUpsideDown(Encoder):
    """Likewise, with the layers of hn in reverse."""

    def forward(self, x):
        output, hn = self.rnn(x)
        return output, hn.flip(0)


class OutputAlone(Encoder):
    """Takes input and state, and returns the output alone."""

    def forward(self, x, h0):
        return self.rnn(x, h0)[0]


class OutputAloneFromZero(Encoder):
    """Likewise, but begins with zeros."""

    def forward(self, x, h0):
        return self.rnn(x)[0]


class RowsFirst(Encoder):
    """Takes (B, T, I) without being asked to."""

    batch_first = True

    def forward(self, x, h0=None):
        return self.rnn(x, h0)


class RowsFirstBackward(RowsFirst):
    """Likewise, from the last step to the first."""

    def forward(self, x, h0=None):
        output, hn = self.rnn(x.flip(1), h0)
        return output.flip(1), hn


class RowsFirstEncoder(Encoder):
    """Takes (B, T, I) alone, and returns (B, T, H) alone."""

    batch_first = True


class RowsFirstEncoderShifted(RowsFirstEncoder):
    """Likewise, each output a step too late."""

    def forward(self, x):
        return super().forward(x).roll(1, 1)


class RowsFirstStates(RowsFirst):
    """Takes (B, T, I) and states (B, L, H)."""

    def forward(self, x, h0):
        output, hn = self.rnn(x, h0.transpose(0, 1).contiguous())
        return output, hn.transpose(0, 1)


class RowsFirstStatesSwapped(RowsFirstStates):
    """Likewise, with the layers of the state in reverse."""

    def forward(self, x, h0):
        return super().forward(x, h0.flip(1))


class OneWidth(StackingGRUCell):
    """Input and state have one width."""

    def __init__(self, width, layers=1, p=0.0):
        super().__init__(width, width, layers, p)


class OneWidthDoubled(OneWidth):
    """Likewise, and the output is twice the state."""

    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return 2 * output, hn


class OfFour(StackingGRUCell):
    """Is built with a width that four divides."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        if hidden_size % 4:
            raise ValueError("hidden_size must be divisible by 4")
        super().__init__(input_size, hidden_size, num_layers, dropout)


class OfFourCut(OfFour):
    """Likewise, wrong from 16 units on."""

    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return output * (1 if self.hidden_size < 16 else 1.5), hn


class WithOptions(StackingGRUCell):
    """Needs further arguments."""

    def __init__(self, input_size, hidden_size, num_layers, dropout, mode, scale, norms):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.scale = scale if mode == "gru" and norms == [] else 2.0

    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return output * self.scale, hn


class Config:
    """What some constructors take in place of sizes."""

    def __init__(self, width, state):
        self.width, self.state = width, state


class FromConfig(nn.Module):
    """Is built from a config."""

    def __init__(self, config):
        super().__init__()
        self.cell = nn.GRUCell(config.width, config.state)

    def forward(self, x, h):
        new = self.cell(x, h[0])
        return new, new[None]


def from_config(input_size, hidden_size):
    return FromConfig(Config(input_size, hidden_size))


class PerGate(nn.Module):
    """Two linear layers a gate, in the order z, r, n."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        for gate in "zrn":
            setattr(self, f"x_{gate}", nn.Linear(input_size, hidden_size))
            setattr(self, f"h_{gate}", nn.Linear(hidden_size, hidden_size))

    def forward(self, x, h):
        z = torch.sigmoid(self.x_z(x) + self.h_z(h[0]))
        r = torch.sigmoid(self.x_r(x) + self.h_r(h[0]))
        n = torch.tanh(self.x_n(x) + r * self.h_n(h[0]))
        new = self.mixed(z, n, h[0])
        return new, new[None]

    def mixed(self, z, n, h):
        return (1 - z) * n + z * h


class TwoLinears(nn.Module):
    """Two linear layers with the gates in the order z, r, n, with biases or without."""

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__()
        self.of_x = nn.Linear(input_size, 3 * hidden_size, bias=bias)
        self.of_h = nn.Linear(hidden_size, 3 * hidden_size, bias=bias)

    def forward(self, x, h):
        (z, r, n), (y, s, m) = self.of_x(x).chunk(3, -1), self.of_h(h[0]).chunk(3, -1)
        z, n = torch.sigmoid(z + y), torch.tanh(n + torch.sigmoid(r + s) * m)
        new = (1 - z) * n + z * h[0]
        return new, new[None]


class TwoLinearsSharedBias(TwoLinears):
    """Likewise, but without biases wrong by a tenth."""

    def forward(self, x, h):
        output, hn = super().forward(x, h)
        return (output, hn) if self.of_x.bias is not None else (output * 1.1, hn)


class PlainCell(TwoLinears):
    """Takes and returns one state (B, H), as nn.GRUCell does, and needs none."""

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.of_h.in_features) if h is None else h
        return super().forward(x, h[None])[0]


class PlainCellFromOne(PlainCell):
    """Likewise, but begins with ones if no state is given."""

    def forward(self, x, h=None):
        return super().forward(x, x.new_ones(len(x), self.of_h.in_features) if h is None else h)


class PerGateSwapped(PerGate):
    """z keeps the new state, not the old one: no arrangement of its weights makes it nn.GRU."""

    def mixed(self, z, n, h):
        return z * n + (1 - z) * h


class PerGateRarely(PerGate):
    """Wrong where an input is larger than 20, which finding its weights does not meet."""

    def forward(self, x, h):
        output, hn = super().forward(x, h)
        return (output * 1.5, hn) if bool((x.abs() > 20).any()) else (output, hn)


class Joint(nn.Module):
    """One matrix of [h, x] for z and r, two of n, in any number of layers."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__()
        wide = [input_size, *[hidden_size] * (num_layers - 1)]
        self.gates = nn.ModuleList(nn.Linear(hidden_size + one, 2 * hidden_size) for one in wide)
        self.new = nn.ModuleList(nn.Linear(one, hidden_size) for one in wide)
        self.old = nn.ModuleList(nn.Linear(hidden_size, hidden_size, bias=False) for _ in wide)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, h):
        states = []
        for layer, state in enumerate(h):
            z, r = self.gates[layer](torch.cat([state, x], -1)).sigmoid().chunk(2, -1)
            n = torch.tanh(self.new[layer](x) + r * self.old[layer](state))
            states.append((1 - z) * n + z * state)
            x = self.drop(states[-1]) if layer < len(h) - 1 else states[-1]
        return x, torch.stack(states)


class JointDropsAll(Joint):
    """The output is dropped out, too."""

    def forward(self, x, h):
        output, hn = super().forward(x, h)
        return self.drop(output), hn


class Transposed(nn.Module):
    """Raw matrices, transposed, in the order n, z, r."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.of_x = nn.Parameter(torch.randn(input_size, 3 * hidden_size))
        self.of_h = nn.Parameter(torch.randn(hidden_size, 3 * hidden_size))
        self.one, self.other = (nn.Parameter(torch.randn(3 * hidden_size)) for _ in range(2))

    def forward(self, x, h):
        n, z, r = (x @ self.of_x + self.one).chunk(3, -1)
        m, y, s = (h[0] @ self.of_h + self.other).chunk(3, -1)
        z, n = torch.sigmoid(z + y), torch.tanh(n + torch.sigmoid(r + s) * m)
        new = (1 - z) * n + z * h[0]
        return new, new[None]


class Forgetful(nn.Module):
    """Each step starts from zeros, so that nothing tells r from the rest."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.of_x = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.of_h = nn.Linear(hidden_size, 3 * hidden_size, bias=False)

    def forward(self, x):
        outputs = []
        for step in x:
            _, z, n = self.of_x(step).chunk(3, -1)
            outputs.append((1 - torch.sigmoid(z)) * torch.tanh(n))
        return torch.stack(outputs)


class Normalized(PlainCell):
    """Its gates are normalized, so that no reading of its weights makes it nn.GRU."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, elementwise_affine=False)

    def forward(self, x, h=None):
        return self.norm(super().forward(x, h))


class WithoutParameters(nn.Module):
    """It draws its weights in each call."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.sizes = input_size, hidden_size

    def forward(self, x, h):
        h = nn.GRUCell(*self.sizes).to(x)(x, h[0])[None]
        return h[0], h


NO_STATE = {"state": "none", "returns": "output"}
#: What is right with a fault beside it, the fields of its Convention, and the options that are
#: these; None where there are none.
DRIVEN = [
    (Encoder, EncoderOffByAHair, NO_STATE, "--state none --returns output"),
    (Encoder, EncoderDetached, NO_STATE, "--state none --returns output"),
    (Encoder, EncoderThatRemembers, NO_STATE, "--state none --returns output"),
    (WithoutState, WithoutStateUpsideDown, {"state": "none"}, "--state none"),
    (OutputAlone, OutputAloneFromZero, {"returns": "output"}, "--returns output"),
    (RowsFirst, RowsFirstBackward, {"batch_first": True}, "--batch-first"),
    (
        RowsFirstEncoder,
        RowsFirstEncoderShifted,
        {**NO_STATE, "batch_first": True},
        "--state none --returns output --batch-first",
    ),
    (
        RowsFirstStates,
        RowsFirstStatesSwapped,
        {"state": "batch-first", "batch_first": True},
        "--state batch-first --batch-first",
    ),
    (
        OneWidth,
        OneWidthDoubled,
        {"arguments": ("hidden_size", "num_layers", "dropout")},
        "--arguments hidden_size,num_layers,dropout",
    ),
    (OfFour, OfFourCut, {"sizes": {"hidden_size": range(4, 65, 4)}}, None),
    (PerGate, PerGateRarely, {}, ""),
    (Joint, JointDropsAll, {}, ""),
    (TwoLinears, TwoLinearsSharedBias, {}, ""),
    (
        PlainCell,
        PlainCellFromOne,
        {"state": "concatenated", "returns": "state"},
        "--state concatenated --returns state",
    ),
]
