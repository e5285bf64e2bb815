"""Implementations of as many layers as one asks for: stacks of cells, and sequence modules."""

from __future__ import annotations

from examples.implementations.base import implementation, submodule, without
from stackgru import Convention


@implementation("opacus.DPGRU", "opacus", "drop-in replacement of `nn.GRU`")
def _opacus() -> Convention:
    from opacus.layers import DPGRU

    return Convention(DPGRU)


@implementation("torchrl.GRU", "torchrl", "behaves exactly like `nn.GRU`")
def _torchrl() -> Convention:
    from torchrl.modules import GRU

    return Convention(GRU)


@implementation("onmt.StackedGRU", "OpenNMT-py", "their own stacked GRU, for input feeding")
def _onmt() -> Convention:
    made = submodule("onmt.modules.stacked_rnn").StackedGRU
    arguments = ("num_layers", "input_size", "hidden_size", "dropout")
    return Convention(made, arguments=arguments, state="tuple")


@implementation("speechbrain.GRUCell", "speechbrain", "a basic GRU cell, for one timestep")
def _speechbrain() -> Convention:
    without("torchaudio")
    return Convention(submodule("speechbrain.nnet.RNN").GRUCell)


@implementation("texar.MultiRNNCell", "texar-pytorch", "cells in sequence; each with dropout added")
def _texar() -> Convention:
    import numpy as np

    np.float_ = np.float64  # it predates NumPy 2
    cells = submodule("texar.torch.core.cell_wrappers")

    def stack(input_size, hidden_size, num_layers, bias, dropout):
        made = []
        for layer in range(num_layers):
            cell = cells.GRUCell(hidden_size if layer else input_size, hidden_size, bias=bias)
            made.append(cells.DropoutWrapper(cell, output_keep_prob=1 - dropout))
        return cells.MultiRNNCell(made)

    return Convention(stack, state="list")


@implementation(
    "fastNLP.VarGRU",
    "FastNLP",
    "variational-dropout GRU; here its hidden_dropout",
    remark="one mask per layer on the carried state, one between all layers, each kept over time",
)
def _fastnlp() -> Convention:
    made = submodule("fastNLP.modules.torch.encoder.variational_rnn").VarGRU

    def stack(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional=False):
        return made(
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            hidden_dropout=dropout,
            bidirectional=bidirectional,
        )

    return Convention(stack)


@implementation(
    "fastNLP.VarGRU, rate 0",
    "FastNLP",
    "the same, without its dropouts",
    remark="packs what it is given: no empty batch, no single row, no forward-mode derivatives",
)
def _fastnlp_plain() -> Convention:
    stack = _fastnlp().factory

    def plain(input_size, hidden_size, num_layers, bias, batch_first, bidirectional=False):
        sizes = input_size, hidden_size, num_layers
        return stack(*sizes, bias, batch_first, 0.0, bidirectional)

    return Convention(plain)
