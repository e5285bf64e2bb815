"""What a call leaves behind, or forgets, and what torch makes of the target."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.subjects import autocast_dtype, is_compiling
from tests.subjects.right.variants import Stack, Written


class GoesIntoEval(Stack):
    """Dropout is in eval after a call."""

    def result(self, output, hn):
        self.dropout.eval()
        return super().result(output, hn)


class FreezesItself(Stack):
    """In eval the parameters are frozen."""

    def result(self, output, hn):
        if not self.training:
            self.requires_grad_(False)
        return super().result(output, hn)


class NewParametersEveryCall(Stack):
    """A weight is replaced by a copy, so that an optimiser holds one that is not used."""

    def result(self, output, hn):
        self.cells[0].weight_hh = nn.Parameter(self.cells[0].weight_hh.detach().clone())
        return super().result(output, hn)


class BackwardInForward(Stack):
    """In training a backward pass is run as well, which leaves gradients."""

    def end(self, output, hn):
        weights = [one for one in self.parameters() if one.requires_grad]  # and no arguments
        if output.requires_grad and weights:
            torch.autograd.backward(output.sum(), retain_graph=True, inputs=weights)
        return output, hn


class RemembersItsFailure(Stack):
    """After a call that raised midway, the next one is a little off."""

    midway = False

    def forward(self, input, h0=None):
        off = self.midway
        self.midway = True
        output, hn = super().forward(input, h0)
        self.midway = off
        return output, hn * (1 + 1e-3 * off)


class RemembersTheLargestBatch(Stack):
    """The largest batch seen is kept, and moves the results of smaller ones."""

    largest = 0

    def result(self, output, hn):
        self.largest = max(self.largest, len(output))
        output, hn = super().result(output, hn)
        return output, hn * (1 + 1e-6 * (self.largest - len(output)))


class SkipsAnEmptyBatch(Stack):
    """An empty batch is answered at once, with zeros that come from nowhere."""

    def forward(self, input, h0=None):
        if len(input) == 0:
            hn = input.new_zeros(self.num_layers, 0, self.hidden_size).detach()
            return hn[-1], hn
        return super().forward(input, h0)


class HoldsItsWeights(Stack):
    """The parameters are kept in lists of its own, past torch.func's reach."""

    def setup(self):
        for cell in self.cells:
            cell.held = list(cell.parameters())

    def cell(self, cell, x, h):
        return torch._VF.gru_cell(x, h, *cell.held)


class DetachesEverySecondCall(Stack):
    """In every second call the state is cut off from its past; values are right."""

    calls = 0

    def start(self, input, h0):
        self.calls += 1
        h0 = super().start(input, h0)
        return h0.detach() if self.calls % 2 == 0 else h0


class GeneratorLostByCheckpoints(Stack):
    """At rates above one half masks come from a generator of its own, which checkpoints lose."""

    generator = None

    def up(self, state, layer):
        if layer == self.num_layers - 1 or self.dropout.p <= 0.5 or not self.training:
            return super().up(state, layer)
        if self.generator is None:
            self.generator = torch.Generator().manual_seed(0)
        kept = torch.rand(state.shape, generator=self.generator) >= self.dropout.p
        return state * kept / max(1 - self.dropout.p, 1e-3)


class Scripted(nn.Module):
    """Plain cells, and another result where TorchScript runs them."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float):
        super().__init__()
        self.cells = nn.ModuleList(
            nn.GRUCell(hidden_size if layer else input_size, hidden_size)
            for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        states = h0.contiguous()
        if torch.jit.is_scripting():
            states = states * 1.001
        hn: list[Tensor] = []
        for layer, cell in enumerate(self.cells):
            if layer > 0:
                input = self.dropout(input)
            input = cell(input, states[layer])
            hn.append(input)
        return input, torch.stack(hn)


class TracedInPart(Stack):
    """With one layer only, it says that it cannot be exported."""

    def begin(self, input, h0):
        if self.num_layers == 1 and is_compiling():
            raise RuntimeError("one layer is not supported")
        return h0


class RecomputesWithoutGraph(Stack):
    """In a backward pass, where checkpoints recompute, nothing is attached to the graph."""

    def begin(self, input, h0):
        return h0.detach() if torch._C._current_graph_task_id() >= 0 else h0


class OnesOfTheDefaultDtype(Written):
    """The new state is computed with ones of torch's default dtype."""

    def update(self, r, z, n, h):
        ones = torch.ones(z.shape[-1], device=z.device)
        return (ones - z) * n + z * h


class OtherwiseUnderAutocast(Stack):
    """Under autocast the new state is a fifth too large."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return state * 1.2 if autocast_dtype() else state
