"""State dicts and models to convert."""

from __future__ import annotations

import functools
import io
import pickle

import torch
from torch import nn

from stackgru import StackingGRUCell


class Model(nn.Module):
    """A model with more in it than a stack; sequence or cells."""

    def __init__(self, rnn, sizes=(3, 4, 2)):
        super().__init__()
        self.embedding = nn.Embedding(5, sizes[0])
        self.encoder = nn.GRU(sizes[0], sizes[1], bidirectional=True)
        self.decoder = nn.ModuleDict({"rnn": rnn(*sizes), "lstm": nn.LSTM(3, 4)})
        self.other = nn.ModuleList([nn.LSTMCell(3, 4), nn.LSTMCell(4, 4)])
        self.norm = nn.BatchNorm1d(4)


def cells(prefix, width=3, size=4, layers=2, bias=True, first=0):
    """Return the state dict of cells that are called prefix0.weight_ih and so on."""
    stack = StackingGRUCell(width, size, layers, bias=bias)
    return {
        f"{prefix}{first + layer}.{name}": value.detach()
        for layer, cell in enumerate(stack.grus)
        for name, value in cell.named_parameters()
    }


@functools.cache
def trust() -> tuple[str, ...]:
    """Return the option that torch needs to read numbers with a decimal point, if it needs one."""
    file = io.BytesIO()
    torch.save({"lr": 0.01}, file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except pickle.UnpicklingError:  # up to torch 1.13
        return ("--trust",)
    return ()


def trained(model, steps=3):
    """Return an optimiser that has made steps, and so has a state."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        sum(parameter.square().sum() for parameter in model.parameters()).backward()
        optimiser.step()
    return optimiser


TWO = {**cells("decoder.forth."), **cells("decoder.back.")}
HALF = {key: value for key, value in cells("rnn.grus.").items() if "1.weight_hh" not in key}
MIXED = {**cells("rnn.grus."), "rnn.grus.1.bias_hh": torch.ones(12).double()}
