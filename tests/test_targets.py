"""Targets: found, built, called; or one clear sentence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stackgru import StackingGRUCell, TargetError
from stackgru.cases import Case
from stackgru.evidence import Violation
from stackgru.finding import find_layers
from stackgru.pairs import Pair
from stackgru.targets import load
from tests.cells import OwnParameters
from tests.sequences import LayerByLayer, OneLayerModules
from tests.variants import Stack


class Renamed(Stack):
    """Other names for the last two arguments; sizes by name."""

    def __init__(self, input_size, hidden_size, n_layers=1, dropout_rate=0.0):
        super().__init__(input_size, hidden_size, n_layers, dropout_rate)


class WithActivation(Stack):
    def __init__(self, input_size, hidden_size, activation="tanh"):
        assert activation == "tanh"
        super().__init__(input_size, hidden_size, 1, 0.0)


class BatchFirstByDefault(nn.GRU):
    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, batch_first=True):
        super().__init__(
            input_size, hidden_size, num_layers, dropout=dropout, batch_first=batch_first
        )


def by_keywords(**keywords):
    return Stack(**keywords)


def by_position(*arguments):
    return Stack(*arguments)


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()


class OneTensor(Stack):
    def forward(self, input, h0):
        return super().forward(input, h0)[0]


class RaisesWhenBuilt(Stack):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        raise ZeroDivisionError("no stack today")


class RaisesWhenCalled(Stack):
    def forward(self, input, h0):
        raise KeyError("nothing here")


class Linears(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size, 3 * hidden_size)


class OneCellForAllButTheFirst(Stack):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        for layer in range(2, num_layers):
            self.cells[layer] = self.cells[1]


@pytest.mark.parametrize(
    ("spec", "kind", "accepts"),
    [
        ("stackgru:StackingGRUCell", "cell", {"num_layers", "dropout", "bias"}),
        ("torch.nn:GRU", "sequence", {"num_layers", "dropout"}),
        (Stack, "cell", {"num_layers", "dropout", "bias"}),
        (OwnParameters, "cell", {"num_layers", "dropout"}),
        (Renamed, "cell", {"num_layers", "dropout"}),
        (WithActivation, "cell", set()),
        (by_keywords, "cell", {"num_layers", "dropout"}),
        (by_position, "cell", {"num_layers", "dropout"}),
        (LayerByLayer, "sequence", {"num_layers", "dropout", "bias"}),
        (OneLayerModules, "sequence", {"num_layers", "dropout"}),
        (BatchFirstByDefault, "sequence", {"num_layers", "dropout"}),
    ],
)
def test_finds_kind_and_arguments(spec, kind, accepts):
    target = load(spec)
    assert target.kind == kind
    assert target.accepts == accepts
    layers = (target.accepts & {"num_layers"} and 3) or 1
    case = Case(input_size=2, hidden_size=3, num_layers=layers, dropout=0.0, dtype="float32")
    found = find_layers(target.build(case), case)
    assert [layer["weight_ih"].shape for layer in found] == [(9, 2), (9, 3), (9, 3)][:layers]


def test_takes_no_state():
    assert load(StackingGRUCell).takes_no_state
    assert not load(OwnParameters).takes_no_state


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nowhere.at_all:Thing", "there is no module named 'nowhere'"),
        ("stackgru:StackingGRUCel", "no attribute 'StackingGRUCel'; did you mean 'StackingGRUC"),
        ("stackgru", "'stackgru' does not name a target; write module:attr or path/file.py:attr"),
        ("no/such/file.py:Thing", "there is no file no/such/file.py"),
        ("stackgru:__version__", "is not callable: it is a str"),
        (Stack(2, 3), "is a module that is already built"),
        (Nothing, "cannot be built: it takes neither"),
        (dict, "not an nn.Module|cannot be built|raised"),
        (RaisesWhenBuilt, r"\(input_size=3, .*\) raised ZeroDivisionError: no stack today"),
        (RaisesWhenCalled, "as a cell it raised KeyError: 'nothing here'"),
        (OneTensor, "gave one tensor of shape"),
        (Linears, "were not found: looked for 1 nn.GRUCell .* linear.weight"),
        (nn.LSTM, r"weight_ih of layer 0 has shape \(16, 3\), where nn.GRU's"),
    ],
)
def test_says_in_one_sentence_what_is_wrong(spec, said):
    with pytest.raises(TargetError, match=said) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('boom')", "raised ValueError: boom"),
        ("import sys; sys.exit(5)", "raised SystemExit: 5"),
        ("import not_installed_at_all", "raised ModuleNotFoundError: No module named"),
        ("def f(:", "raised SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path, text, said):
    path = tmp_path / "broken_target.py"
    path.write_text(text)
    with pytest.raises(TargetError, match=said):
        load(f"{path}:Thing")


def test_kind_may_be_told():
    with pytest.raises(TargetError, match="cannot be called as a sequence"):
        load(StackingGRUCell, kind="sequence")


def test_a_device_that_is_not_there():
    with pytest.raises(TargetError, match="device 'nonsense' cannot be used"):
        load(StackingGRUCell, device="nonsense")


def test_a_cell_that_serves_two_layers_is_found_twice():
    target = load(OneCellForAllButTheFirst)
    case = Case(input_size=2, hidden_size=3, num_layers=3, dtype="float32")
    first, second, third = find_layers(target.build(case), case)
    assert second["weight_ih"] is third["weight_ih"] is not first["weight_ih"]


def test_a_pair_holds_the_same_weights():
    case = Case(input_size=2, hidden_size=3, num_layers=2, batch=4, dtype="float32")
    pair = Pair(load(Stack), case)
    assert torch.equal(pair.module.cells[1].weight_hh, pair.reference.weight_hh_l1)
    assert torch.equal(pair.run().hn, pair.run_reference().hn)


def test_a_pair_without_biases():
    pair = Pair(load(Stack), Case(bias=False))
    assert not pair.reference.bias
    assert set(pair.layers[0]) == {"weight_ih", "weight_hh"}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda output, hn: (output.float(), hn), "output is torch.float32"),
        (lambda output, hn: (output, hn[:-1]), r"hn has shape \(1, 1, 1\)"),
        (lambda output, hn: (output, [hn]), "hn is list"),
        (lambda output, hn: output, "gave Tensor, not an output and a state"),
        (lambda output, hn: 1 / 0, "the target raised ZeroDivisionError"),
    ],
)
def test_a_result_that_is_not_one_is_a_violation(result, said):
    target = load(Stack)
    pair = Pair(target, Case(num_layers=2))
    forward = pair.module.forward
    pair.module.forward = lambda input, h0: result(*forward(input, h0))
    with pytest.raises(Violation, match=said):
        pair.run()
