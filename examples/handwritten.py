"""A cell with its gates written out, right, and with five mistakes that people make."""

import torch
from torch import nn


class Right(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.num_layers = num_layers
        self.cells = nn.ModuleList(
            nn.GRUCell(hidden_size if layer else input_size, hidden_size)
            for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, input, h0):
        hn = []
        for layer, cell in enumerate(self.cells):
            state = self.step(cell, input, h0[layer])
            hn.append(state)
            input = self.dropout(state) if layer < self.num_layers - 1 else state
        return input, torch.stack(hn)

    def step(self, cell, x, h):
        x_r, x_z, x_n = (x @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=-1)
        h_r, h_z, h_n = (h @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (1 - z) * n + z * h


class DropoutAfterTheLastLayer(Right):
    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return self.dropout(output), hn


class FirstStateForAll(Right):
    def forward(self, input, h0):
        return super().forward(input, h0[:1].expand_as(h0))


class StatesInReverse(Right):
    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return output, hn.flip(0)


class ResetBeforeTheProduct(Right):
    def step(self, cell, x, h):
        hidden = h.shape[-1]
        x_r, x_z, x_n = (x @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=-1)
        h_r, h_z, _ = (h @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        h_n = (r * h) @ cell.weight_hh[2 * hidden :].T + cell.bias_hh[2 * hidden :]
        return (1 - z) * torch.tanh(x_n + h_n) + z * h


class OwnDropout(nn.Dropout):
    def __init__(self, rate):
        super().__init__(rate)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, state):
        if not self.training or self.p in (0, 1):
            return super().forward(state)
        keep = 1 - self.p
        return state * torch.empty_like(state).bernoulli_(keep, generator=self.generator) / keep


class DropoutOfItsOwnSeed(Right):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        self.dropout = OwnDropout(dropout)
