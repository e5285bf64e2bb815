"""Weights that lie elsewhere than in parameters of their own: found, written, read, or not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from torch import nn

import stackgru
from stackgru import Convention, TargetError
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.targets.find_weights import find_weights
from stackgru.targets.target import load
from stackgru.targets.weights import DerivedWeights, DirectWeights, RearrangedWeights
from tests.subjects.conventions import fused
from tests.subjects.conventions.catalogue import convention_of
from tests.subjects.right.variants import Stack

CASE = Case(2, 3, 3, 4, 2)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        (fused.Linears, DirectWeights),
        (fused.OneLinear, RearrangedWeights),
        (fused.UpdateFirst, RearrangedWeights),
        (fused.OneBias, RearrangedWeights),
        (fused.NoStateBias, RearrangedWeights),
        (fused.ThreeBiases, DerivedWeights),
    ],
)
def test_where_the_weights_lie_is_found_out(kind, weights):
    pair = Pair(load(convention_of(kind)), CASE)
    assert type(pair.weights) is weights
    for layer, other in zip(
        pair.layers,
        pair.module.read() if weights is not DirectWeights else fused.in_linears(pair.module),
        strict=True,
    ):
        for name, value in layer.items():
            assert torch.equal(value, other[name])
    assert all(parameter.dtype == torch.float64 for parameter in pair.module.parameters())


def test_weights_go_there_and_back():
    weights = Pair(load(convention_of(fused.OneBias)), CASE).weights
    whole = {f"{name} of layer 1": value for name, value in weights.layers[1].items()}
    leaves = weights.to_parameters(whole)
    assert set(leaves) == {f"parameter {name}.1" for name in ("w", "u", "b", "b_n")}
    back = weights.to_layers(leaves)
    assert all(torch.equal(back[name], value) for name, value in whole.items())
    assert not any(bool(value.any()) for name, value in back.items() if "layer 1" not in name)
    assert weights.weights_in(["parameter b_n.2", "h0"]) == ["h0", "bias_hh of layer 2"]
    with weights.perturbed("bias_hh of layer 0", torch.ones(9, dtype=torch.float64)) as is_moved:
        assert is_moved
        assert weights.layers[0]["bias_hh"][:6].count_nonzero() == 0
    nothing = Pair(load(convention_of(fused.NoStateBias)), CASE).weights
    with nothing.perturbed("bias_hh of layer 0", torch.ones(9, dtype=torch.float64)) as is_moved:
        assert not is_moved


def test_a_perturbation_is_undone_after_an_error():
    weights = Pair(load(Stack), CASE).weights
    before = weights.layers[1]["bias_ih"].clone()
    with (
        contextlib.suppress(ZeroDivisionError),
        weights.perturbed("bias_ih of layer 1", torch.ones(9, dtype=torch.float64)),
    ):
        assert not torch.equal(weights.layers[1]["bias_ih"], before)
        raise ZeroDivisionError
    assert torch.equal(weights.layers[1]["bias_ih"], before)


def test_what_is_computed_can_be_neither_set_nor_differentiated():
    laws = ["gradients", "frozen", "training", "life", "everything-matters", "empty-batch"]
    target = convention_of(fused.ThreeBiases)
    report = stackgru.check(target, laws=laws, max_examples=5, seed=0)
    found = {result.name: (result.status, result.reason) for result in report.results}
    assert found.pop("empty-batch")[0] == "holds"
    for status, reason in found.values():
        assert status == "not applicable"
        assert reason.startswith("the layers' weights are computed from the module's own")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (lambda module: module.nowhere, "weights for .* raised AttributeError"),
        (
            lambda module: [{"weight_ih": module.cells[0].weight_ih}],
            "give weight_ih for layer 0, not",
        ),
        (
            lambda module: [module.cells],
            "give ModuleList for layer 0, not an nn.GRUCell or a mapping",
        ),
        (lambda module: module.cells[:1], "have 1 layers; the module has 2"),
        (lambda module: module.cells[::-1], r"weight_ih of layer 0 has shape \(12, 4\)"),
    ],
)
def test_weights_that_are_told_wrongly(weights, said):
    with pytest.raises(TargetError, match=said):
        load(Convention(Stack, weights=weights))


def test_cells_may_be_told_as_they_are():
    pair = Pair(load(Convention(Stack, weights=lambda module: module.cells)), CASE)
    assert pair.layers[2]["bias_hh"] is pair.module.cells[2].bias_hh


class FusedStack(fused.OneBias):
    """The module that docs/conventions.md reads."""

    def make(self, sizes):
        h = self.hidden_size
        self.kernels = nn.ParameterList(torch.rand(size, 3 * h) - 0.5 for size in sizes)
        self.recurrents = nn.ParameterList(torch.rand(h, 3 * h) - 0.5 for _ in sizes)
        self.b = nn.ParameterList(torch.rand(3 * h) - 0.5 for _ in sizes)
        self.b_n = nn.ParameterList(torch.rand(h) - 0.5 for _ in sizes)

    def read(self):
        h = self.hidden_size
        for w, u, b, b_n in zip(self.kernels, self.recurrents, self.b, self.b_n, strict=True):
            gates = [*range(h, 2 * h), *range(h), *range(2 * h, 3 * h)]
            b_hh = torch.cat([b_n.new_zeros(2 * h), b_n])
            yield {"ih": w.t()[gates], "hh": u.t()[gates], "b_ih": b[gates], "b_hh": b_hh}


def test_the_example_of_the_docs_is_right():
    page = (Path(stackgru.__file__).parents[1] / "docs" / "conventions.md").read_text()
    section = page.partition("## What a Convention covers")[2]
    names = {"torch": torch, "stackgru": stackgru, "FusedStack": FusedStack}
    exec(section.partition("```python\n")[2].partition("```")[0], names)
    laws = ["equation", "gradients", "training", "everything-matters"]
    report = stackgru.check(names["FUSED"], laws=laws, max_examples=8, seed=0)
    assert [result.status for result in report.results] == ["holds"] * 4


def test_arranged_weights_are_taken_over():
    target = load(stackgru.Convention(fused.UpdateFirst, weights=fused.read))
    case = Case(2, 3, 2)
    one, other = (Pair(target, case) for _ in range(2))
    with torch.no_grad():
        for leaf in one.weights.leaves.values():
            leaf.add_(1.0)
    other.weights.copy_from(one.weights)
    for layer, right in zip(other.layers, one.layers, strict=True):
        assert all(torch.equal(layer[name], right[name]) for name in right)
    parts = {"input": torch.ones(1)}
    assert one.weights.to_parameters(parts) == parts
    assert one.weights.to_layers(parts) == parts


def test_computed_weights_are_taken_over():
    target = load(stackgru.Convention(fused.ThreeBiases, weights=fused.read))
    one, other = (Pair(target, Case(2, 3)) for _ in range(2))
    with torch.no_grad():
        for leaf in one.weights.leaves.values():
            leaf.add_(1.0)
    other.weights.copy_from(one.weights)
    assert torch.equal(other.layers[0]["bias_ih"], one.layers[0]["bias_ih"])


def test_weights_that_only_look_as_if_rearranged_are_computed():
    def rounded(module):
        return [
            {name: value.round() for name, value in cell.named_parameters()}
            for cell in module.cells
        ]

    case = Case(2, 3)
    found = find_weights(Stack(2, 3, 1, 0.0).double(), case, "it", function=rounded)
    assert type(found).__name__ == "DerivedWeights"
