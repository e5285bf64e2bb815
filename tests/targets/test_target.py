"""Targets: found, built, called; or one clear sentence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stackgru
from stackgru import StackingGRUCell, TargetError
from stackgru.cases.case import Case
from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.targets.find_weights import find_layers
from stackgru.targets.target import load
from tests.subjects.right.cells import OwnParameters
from tests.subjects.right.sequences import LayerByLayer, OneLayerModules
from tests.subjects.right.variants import Stack


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


class ThreeThings(Stack):
    def forward(self, input, h0):
        return [*super().forward(input, h0), None]


class GivesNothing(Stack):
    def forward(self, input, h0):
        return None


class OutputOfTheFirstUnit(Stack):
    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return output[..., :1], hn


class StateOfTheLastLayer(Stack):
    def result(self, output, hn):
        return output, hn[-1][None]


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

    def forward(self, input, h0):
        return h0[-1], h0


class OneCellForAllButTheFirst(Stack):
    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        for layer in range(2, num_layers):
            self.cells[layer] = self.cells[1]


class WithoutSignature:
    """Calls a function, but like some that are compiled does not show what it takes."""

    __signature__ = 0

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        return self.function(*arguments)


class ForwardWithoutSignature(Stack):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.forward = WithoutSignature(self.forward)


class BiasOfTwoAxes(Stack):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.cells[0].bias_hh = nn.Parameter(torch.zeros(1, 3 * hidden_size))


def rate_in_place_of_layers(input_size, hidden_size, dropout=0.0, n_layers=1):
    return Stack(input_size, hidden_size, n_layers, dropout)


def list_of_cells(input_size, hidden_size):
    return [nn.GRUCell(input_size, hidden_size)]


def gru_by_keywords(**keywords):
    return nn.GRU(**keywords)


def layer_by_layer_by_keywords(**keywords):
    return LayerByLayer(**keywords)


def heeds_nothing_else(input_size, hidden_size, num_layers=1, dropout=0.0, **others):
    return LayerByLayer(input_size, hidden_size, num_layers, dropout)


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
        (rate_in_place_of_layers, "cell", {"dropout"}),
        (WithoutSignature(Stack), "cell", {"num_layers", "dropout"}),
        (WithoutSignature(LayerByLayer), "sequence", {"num_layers", "dropout"}),
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
    assert not load(ForwardWithoutSignature).takes_no_state, "nobody can tell"


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (nn.GRU, {"batch_first", "bidirectional"}),
        (gru_by_keywords, {"batch_first", "bidirectional"}),
        (layer_by_layer_by_keywords, set()),
        (heeds_nothing_else, set()),
        (BatchFirstByDefault, {"batch_first"}),
        (WithoutSignature(LayerByLayer), set()),
        (Stack, set()),
    ],
)
def test_finds_the_layouts_that_a_sequence_offers(spec, options):
    assert load(spec).options == options


def test_a_state_of_a_wrong_shape_is_for_the_laws_to_show():
    target = load(StateOfTheLastLayer)
    assert target.kind == "cell"
    with pytest.raises(Violated, match=r"hn: got shape \(1, 1, 1\), expected \(2, 1, 1\)"):
        Pair(target, Case(num_layers=2)).run()


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
        (ThreeThings, "as a cell it gave 3 things, not an output and a state"),
        (GivesNothing, "as a sequence it gave a NoneType; as a cell it gave a NoneType"),
        (OutputOfTheFirstUnit, r"as a cell it gave an output of shape \(5, 1\)"),
        (list_of_cells, "list_of_cells built a list, not an nn.Module"),
        (Linears, "were not found: looked for 1 nn.GRUCell .* linear.weight"),
        (nn.LSTM, r"weight_ih of layer 0 has shape \(16, 3\); nn.GRU's"),
        (BiasOfTwoAxes, r"bias_hh of layer 0 has shape \(1, 12\); .* \(3 \* hidden_size,\) ="),
    ],
)
def test_says_in_one_sentence_what_is_wrong(spec, said):
    with pytest.raises(TargetError, match=said) as caught:
        load(spec)
    sentence, *advice = str(caught.value).splitlines()
    assert sentence.endswith((".", "?"))
    assert len(advice) < 10


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


@pytest.mark.parametrize("device", ["nonsense", "mps", "cuda"])
def test_a_device_that_is_not_there_is_one_sentence(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is an MPS device here")
    with pytest.raises(TargetError, match=f"device '{device}' cannot be used with torch") as error:
        load(StackingGRUCell, device=device)
    assert ". " not in str(error.value)


def test_a_cell_that_serves_two_layers_is_found_twice():
    target = load(OneCellForAllButTheFirst)
    case = Case(input_size=2, hidden_size=3, num_layers=3, dtype="float32")
    first, second, third = find_layers(target.build(case), case)
    assert second["weight_ih"] is third["weight_ih"] is not first["weight_ih"]


def test_a_constant_is_no_option():
    target = load(stackgru.Convention(torch.nn.GRU, constants={"batch_first": False}))
    assert "batch_first" not in target.options
    assert "bidirectional" in target.options
