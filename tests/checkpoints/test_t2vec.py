"""A model of t2vec's shape: trained, converted, and trained on as if nothing had happened."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from stackgru import StackingGRUCell
from tests.helpers import invoke
from tests.subjects.checkpoints import trust

TOKENS, WIDTH, HIDDEN, LAYERS, ROWS, STEPS = 30, 8, 12, 3, 6, 7


class Model(nn.Module):
    """Reads a sequence both ways and writes it again step by step, looking at what it read."""

    def __init__(self, rnn):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.encoder = nn.GRU(WIDTH, HIDDEN // 2, LAYERS, bidirectional=True, dropout=0.3)
        self.decoder = nn.ModuleDict({"rnn": rnn(WIDTH, HIDDEN, LAYERS, dropout=0.3)})
        self.query = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.mixed = nn.Linear(2 * HIDDEN, HIDDEN)
        self.token = nn.Linear(HIDDEN, TOKENS)

    def forward(self, source, target):
        """Return the loss of writing ``target``, (T, B), after reading ``source``, (S, B)."""
        read, state = self.encoder(self.embedding(source))
        state = torch.cat([state[0::2], state[1::2]], dim=2)
        losses = []
        for here, following in itertools.pairwise(target):
            output, state = self.step(self.embedding(here), state)
            weights = torch.einsum("sbh,bh->sb", read, self.query(output)).softmax(0)
            seen = torch.einsum("sb,sbh->bh", weights, read)
            mixed = self.mixed(torch.cat([output, seen], dim=1)).tanh()
            losses.append(nn.functional.cross_entropy(self.token(mixed), following))
        return torch.stack(losses).mean()

    def step(self, x, state):
        rnn = self.decoder["rnn"]
        if isinstance(rnn, StackingGRUCell):
            return rnn(x, state)
        output, state = rnn(x[None], state)
        return output[0], state


def go_on(model, optimiser, first, count):
    """Train on tokens and masks that are drawn from the number of the step; return the losses."""
    losses = []
    for number in range(first, first + count):
        torch.manual_seed(number)
        source = torch.randint(TOKENS, (STEPS, ROWS))
        optimiser.zero_grad()
        loss = model(source, source)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    model = Model(StackingGRUCell).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = go_on(model, optimiser, 0, 50)
    assert losses[-1] < losses[0]
    return model, optimiser


def again(model, optimiser, change=0.0):
    """Return copies of both, with weights that are changed by a part of themselves."""
    model, state = copy.deepcopy(model), copy.deepcopy(optimiser.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + change)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    optimiser.load_state_dict(state)
    return model, optimiser


def test_losses_go_on_as_if_nothing_had_happened(trained, tmp_path):
    model, optimiser = trained
    torch.save({"model": model.state_dict(), "adam": optimiser.state_dict()}, tmp_path / "t.pt")
    result = invoke("convert", tmp_path / "t.pt", tmp_path / "gru.pt", "--to", "gru", *trust())
    assert result.exit_code == 0, result.stderr
    saved = torch.load(tmp_path / "gru.pt", weights_only=not trust())
    converted = Model(nn.GRU).double()
    converted.load_state_dict(saved["model"])
    other = torch.optim.Adam(converted.parameters(), lr=0.01)
    other.load_state_dict(saved["adam"])

    found = torch.tensor(go_on(converted, other, 50, 30), dtype=torch.float64)
    right = torch.tensor(go_on(*again(model, optimiser), 50, 30), dtype=torch.float64)
    # Gradients of the two differ by up to 7 eps, and training amplifies that: a model whose weights
    # are changed by 8 eps shows how much.
    change = 8 * torch.finfo(torch.float64).eps
    moved = torch.tensor(go_on(*again(model, optimiser, change), 50, 30), dtype=torch.float64)
    assert (found - right).abs().max() <= (moved - right).abs().max()
    # Without the state of the optimiser training continues differently.
    lost = Model(nn.GRU).double()
    lost.load_state_dict(saved["model"])
    fresh = torch.optim.Adam(lost.parameters(), lr=0.01)
    assert abs(go_on(lost, fresh, 50, 2)[1] - right[1]) > 1e-6
