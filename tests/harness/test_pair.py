"""Pairs: a target beside nn.GRU, with the same weights; what only one of them takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.targets.target import load
from tests.subjects.right.variants import Stack


def test_a_pair_holds_the_same_weights():
    case = Case(input_size=2, hidden_size=3, num_layers=2, batch=4, dtype="float32")
    pair = Pair(load(Stack), case)
    assert torch.equal(pair.module.cells[1].weight_hh, pair.reference.weight_hh_l1)
    assert torch.equal(pair.run().hn, pair.run_reference().hn)


def test_a_pair_without_biases():
    pair = Pair(load(Stack), Case(bias=False))
    assert not pair.reference.bias
    assert set(pair.layers[0]) == {"weight_ih", "weight_hh"}


def test_a_case_that_a_target_refuses_is_a_violation():
    class AtMostTwoLayers(Stack):
        def __init__(self, input_size, hidden_size, num_layers, dropout):
            if num_layers > 2:
                raise ValueError("too deep")
            super().__init__(input_size, hidden_size, num_layers, dropout)

    with pytest.raises(Violated, match=r"num_layers=3, .* raised ValueError: too deep"):
        Pair(load(AtMostTwoLayers), Case(num_layers=3))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_seed_is_set_where_the_target_is(device, monkeypatch):
    pair = Pair(replace(load(Stack), device=device), Case(seed=3))
    seeded = []
    monkeypatch.setattr(torch, "manual_seed", seeded.append)
    with torch.random.fork_rng(devices=[]):
        pair.seed()
        pair.seed(5)
        assert device == "meta" or torch.initial_seed() == 5
    assert seeded == ([] if device == "cpu" else [3, 5]), "every device but the cpu by torch itself"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            lambda output, hn: (output.float(), hn),
            "output: got torch.float32, expected torch.float64",
        ),
        (lambda output, hn: (output, hn[:-1]), r"hn: got shape \(1, 1, 1\), expected \(2, 1, 1\)"),
        (lambda output, hn: (output, [hn]), "hn: got list, expected a tensor"),
        (lambda output, hn: output, "gave Tensor, not an output and a state"),
        (lambda output, hn: 1 / 0, "the target raised ZeroDivisionError"),
    ],
)
def test_a_result_that_is_not_one_is_a_violation(result, said):
    target = load(Stack)
    pair = Pair(target, Case(num_layers=2))
    forward = pair.module.forward
    pair.module.forward = lambda input, h0: result(*forward(input, h0))
    with pytest.raises(Violated, match=said):
        pair.run()
