"""Stacks that give nn.GRU's results in the seed's example, and conduct themselves otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.variants import Stack


class UpdatesH0InPlace(Stack):
    """The new state is also written into h0."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is not None:
            h0.copy_(hn.detach())
        return output, hn


class ClampsItsInput(Stack):
    """Large inputs are clamped, in place."""

    def forward(self, input, h0=None):
        return super().forward(input.clamp_(-20, 20), h0)


class LeavesGradOff(Stack):
    """The grad mode is switched off, and stays so."""

    def result(self, output, hn):
        torch.set_grad_enabled(False)
        return super().result(output, hn)


class SetsTheDefaultDtype(Stack):
    """The default dtype is set to the input's."""

    def forward(self, input, h0=None):
        torch.set_default_dtype(input.dtype)
        return super().forward(input, h0)


class SetsOneThread(Stack):
    """The number of threads is set to one."""

    def forward(self, input, h0=None):
        torch.set_num_threads(1)
        return super().forward(input, h0)


class SetsDeterministic(Stack):
    """Deterministic algorithms are asked for."""

    def forward(self, input, h0=None):
        torch.use_deterministic_algorithms(True)
        return super().forward(input, h0)


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

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        if output.requires_grad:
            output.sum().backward(retain_graph=True)
        return output, hn


class GivesItsState(Stack):
    """In eval hn lies in the memory of h0."""

    def forward(self, input, h0=None):
        output, hn = super().forward(input, h0)
        if h0 is None or self.training or not h0.is_contiguous():
            return output, hn
        before = h0.clone()
        result = h0.set_(h0).copy_(hn)
        h0.data = before
        return output, result


class ReusesItsResult(Stack):
    """Without gradients hn is written into one tensor, call after call."""

    buffer = None

    def result(self, output, hn):
        output, hn = super().result(output, hn)
        if hn.requires_grad:
            return output, hn
        if self.buffer is None or self.buffer.shape != hn.shape:
            self.buffer = torch.empty_like(hn)
        return output, self.buffer.copy_(hn)


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


class LetsStridesThrough(Stack):
    """The state is taken as it lies in memory, and so are the masks drawn: the seed's loop."""

    def start(self, input, h0):
        return super().start(input, h0) if h0 is None else h0


class ReadsMemoryInOrder(Stack):
    """The input is read from where it begins, as if it were contiguous."""

    def forward(self, input, h0=None):
        rows, width = input.shape
        return super().forward(input.as_strided((rows, width), (width, 1)), h0)


class LooksAtValues(Stack):
    """The sum of the input is looked at in Python."""

    def start(self, input, h0):
        input.sum().item()
        return super().start(input, h0)


class SkipsAnEmptyBatch(Stack):
    """An empty batch is answered at once, with zeros that come from nowhere."""

    def forward(self, input, h0=None):
        if len(input) == 0:
            hn = input.new_zeros(self.num_layers, 0, self.hidden_size).detach()
            return hn[-1], hn
        return super().forward(input, h0)


class TakesOneRowForAll(Stack):
    """An h0 of one row is taken for every row."""

    def start(self, input, h0):
        return super().start(input, h0).expand(-1, len(input), -1)


class HoldsItsWeights(Stack):
    """The parameters are kept in lists of its own, past torch.func's reach."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
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


class OwnGenerator(Stack):
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


class TracedOtherwise(Stack):
    """Another result where torch.compile or torch.export traces it."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        return h0 * 1.001 if torch.compiler.is_compiling() else h0


class TracedInPart(Stack):
    """With one layer only, it says that it cannot be exported."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        if self.num_layers == 1 and torch.compiler.is_compiling():
            raise RuntimeError("one layer is not supported")
        return h0


class RefusesTransforms(Stack):
    """It says that it cannot be exported."""

    def start(self, input, h0):
        if torch.compiler.is_compiling():
            raise RuntimeError("not to be traced")
        return super().start(input, h0)


class RecomputesWithoutGraph(Stack):
    """In a backward pass, where checkpoints recompute, nothing is attached to the graph."""

    def start(self, input, h0):
        h0 = super().start(input, h0)
        return h0.detach() if torch._C._current_graph_task_id() >= 0 else h0


#: For each law of these families a fault that it catches.
CAUGHT_BY = {
    "empty-batch": SkipsAnEmptyBatch,
    "purity": UpdatesH0InPlace,
    "stateless": ReusesItsResult,
    "strided": LetsStridesThrough,
    "meta": LooksAtValues,
    "refusals": TakesOneRowForAll,
    "functional-call": HoldsItsWeights,
    "checkpoint": DetachesEverySecondCall,
    "script": Scripted,
    "export": TracedOtherwise,
    "compile": TracedOtherwise,
    "vmap": HoldsItsWeights,
}

#: More faults, by law: all that each of these laws is there for.
MORE = [
    ("purity", ClampsItsInput),
    ("purity", LeavesGradOff),
    ("purity", SetsTheDefaultDtype),
    ("purity", SetsOneThread),
    ("purity", SetsDeterministic),
    ("purity", GoesIntoEval),
    ("purity", FreezesItself),
    ("purity", NewParametersEveryCall),
    ("purity", BackwardInForward),
    ("purity", GivesItsState),
    ("stateless", RemembersItsFailure),
    ("stateless", RemembersTheLargestBatch),
    ("strided", ReadsMemoryInOrder),
    ("checkpoint", OwnGenerator),
    ("checkpoint", RecomputesWithoutGraph),
    ("export", TracedInPart),
]
