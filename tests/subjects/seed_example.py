"""The seed's example: one comparison of a stack with nn.GRU, as it stands in its note."""

from __future__ import annotations

import torch
from torch import nn

from stackgru.cases.case import Case
from stackgru.gru.parameters import copy_layers, gru_layers
from stackgru.targets.construct import construct
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import find_layers

SIZES = (5, 10, 3)
RATE, BATCH, SEED = 0.1, 7, 1215
_CASE = Case(*SIZES, BATCH, dropout=RATE, dtype="float32", mode="train", seed=SEED)


def results(stack_class, *, batch_first=False, sequence=False):
    """Return the stack's and nn.GRU's output and hn, as two pairs."""
    torch.manual_seed(0)
    stack = construct(Convention(stack_class), "the stack", _CASE, "cpu")
    gru = nn.GRU(*SIZES, dropout=RATE, batch_first=batch_first)
    copy_layers(find_layers(stack, _CASE), gru_layers(gru))
    input, h0 = torch.randn(BATCH, SIZES[0]), torch.randn(SIZES[2], BATCH, SIZES[1])
    time = 1 if batch_first else 0
    torch.manual_seed(SEED)
    own = stack(input.unsqueeze(0) if sequence else input, h0.clone())
    own = (own[0][0] if sequence else own[0], own[1])
    torch.manual_seed(SEED)
    output, hn = gru(input.unsqueeze(time), h0.clone())
    return own, (output.squeeze(time), hn)


def accepts(stack_class, **options):
    """Whether the seed's example takes a stack for nn.GRU."""
    own, reference = results(stack_class, **options)
    return all(torch.allclose(*pair) for pair in zip(own, reference, strict=True))
