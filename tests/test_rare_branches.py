"""Branches that a run of the laws on the catalogue meets rarely, or in another process only."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

import stackgru
from stackgru.cases.case import Case
from stackgru.cli import main as command_line
from stackgru.diagnosis import search as diagnosis
from stackgru.diagnosis.search import diagnose
from stackgru.engine import run as running
from stackgru.harness.pair import Pair
from stackgru.laws.refusals import builds
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import Violation
from stackgru.pytest_plugin import check as checking
from stackgru.repro.scripts.candidates import candidates
from stackgru.repro.scripts.context import ScriptContext
from stackgru.targets.find_weights import find_weights
from stackgru.targets.target import load
from tests.subjects.broken import calls, conduct, masks, rare_inputs, refusals
from tests.subjects.conventions import fused
from tests.subjects.right.layouts import Whole
from tests.subjects.right.variants import Stack


def check(law, target, case=None):
    """Try a law on one case."""
    return all_laws()[law].check(Pair(load(target), case or Case(), strict=True))


def test_an_interrupted_command(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_check", interrupted)
    result = CliRunner().invoke(command_line.cli, ["check"])
    assert result.exit_code == command_line.EXIT_INTERRUPTED


def test_an_interrupted_check(monkeypatch):
    monkeypatch.setattr(checking.pytest, "main", lambda *_, **__: pytest.ExitCode.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        stackgru.check(Stack)


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


def test_what_fails_for_some_sizes_is_no_variant():
    assert diagnose(load(rare_inputs.DeepAndWideFails)).variants == ()


def test_a_variant_that_fails_where_it_is_deep_is_none():
    class FailsWhereDeep(masks.DropsTheOutputOnly):
        """Raises where it has four layers."""

        def forward(self, input, h0=None):
            if self.num_layers == 4:
                raise ValueError("no")
            return super().forward(input, h0)

    assert diagnose(load(FailsWhereDeep)).variants == ()


def test_what_differs_too_seldom_is_not_told(monkeypatch):
    monkeypatch.setattr(diagnosis, "_MOST_CASES", diagnosis.CASES - 1)
    assert diagnose.__wrapped__(load(masks.DropsTheOutputOnly)).variants == ()


def test_a_mask_that_is_kept_beside_one_that_is_not():
    class InputToo(masks.MaskKeptOverTime):
        """The input is dropped out as well, by a new mask at each step."""

        def forward(self, input, h0=None):
            return super().forward(self.dropout(input), h0)

    found = set(diagnose(load(InputToo)).variants)
    kept = "a mask kept over time (variational), though one is drawn for every step"
    assert found == {"dropout also on the input", kept}


def test_an_option_that_a_target_does_not_take_is_not_refused():
    class WithoutRate(stackgru.StackingGRUCell):
        """Takes no dropout."""

        def __init__(self, input_size, hidden_size, num_layers):
            super().__init__(input_size, hidden_size, num_layers)

    check("refusals", WithoutRate)
    context = ScriptContext(
        load(WithoutRate), all_laws()["refusals"], Case(), "nothing", strict=True
    )
    assert not any("dropout" in candidate.text for candidate in candidates(context))


def test_a_diagnosis_that_fails_is_told(monkeypatch):
    def fails(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr(running, "diagnose", fails)
    (run, _) = running.collect_runs(Stack, Options(laws=("equation",)), {})
    assert run.diagnosis()["sentence"] == "could not be compared: ValueError: no"


@pytest.mark.parametrize(
    ("law", "target", "said"),
    [
        ("purity", conduct.SeedsAsItIsBuilt, "sets torch's generator"),
        ("gradients", calls.FreezesItself, "changes requires_grad of"),
        ("refusals", refusals.TakesHugeRates, "is built with dropout"),
        ("refusals", refusals.CutsTheInput, "takes an input that is too wide"),
        ("refusals", refusals.TakesNoSteps, "takes a sequence without steps"),
    ],
)
def test_a_violation(law, target, said):
    with pytest.raises(Violation, match=said):
        check(law, target)


def test_what_gives_something_else_takes_what_it_was_given():
    """A result that its convention does not know is a result: nothing was refused."""

    class Odd(stackgru.StackingGRUCell):
        """Gives three things for an input that is too wide."""

        def forward(self, input, h0=None):
            if input.shape[-1] > self.input_size:
                return input, h0, h0
            output, hn = super().forward(input, h0)
            return hn, output

    target = load(stackgru.Convention(Odd, returns="state, output"))
    with pytest.raises(Violation, match="takes an input that is too wide"):
        all_laws()["refusals"].check(Pair(target, Case(), strict=True))


def test_a_layout_that_gives_something_else_is_not_offered():
    class Odd(Whole):
        """Gives one tensor for what has no rows."""

        def forward(self, input, h0=None):
            if getattr(input, "dim", int)() == 2:
                return input
            output, hn = super().forward(input, h0)
            return hn, output

    target = load(stackgru.Convention(Odd, returns="state, output"))
    assert target.kind == "sequence"
    with pytest.raises(Violation, match="unbatched the target gave one tensor"):
        all_laws()["layouts"].check(Pair(target, Case(2, 3, 1, 2, 2), strict=True))


def test_a_constant_is_no_option():
    target = load(stackgru.Convention(torch.nn.GRU, constants={"batch_first": False}))
    assert "batch_first" not in target.options
    assert "bidirectional" in target.options


def test_nn_gru_is_built_where_it_can_be():
    pair = Pair(load(torch.nn.GRU), Case())
    assert builds(pair, torch.nn.GRU, {"dropout": 0.5})
    assert not builds(pair, torch.nn.GRU, {"dropout": -0.25})
