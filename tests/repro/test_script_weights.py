"""Scripts give weights by name if the target's have another order than nn.GRU's."""

from __future__ import annotations

import pytest
import torch

from stackgru.cases.case import Case
from stackgru.cases.tensors import numbers_of, with_numbers
from stackgru.laws.registry import all_laws
from stackgru.repro.scripts import plain, run_in_process, script_for
from stackgru.repro.scripts.candidates import candidates
from stackgru.repro.scripts.context import ScriptContext
from stackgru.repro.scripts.text import script_text
from stackgru.targets.convention import Convention
from stackgru.targets.target import load
from tests.subjects.right.variants import Stack


class Backwards(Stack):
    """Its parameters come in the opposite order of its layers."""

    factor = 1.0

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        cells = self._modules.pop("cells")
        for layer in reversed(range(num_layers)):
            setattr(self, f"layer{layer}", cells[layer])

    @property
    def cells(self):
        return [getattr(self, f"layer{layer}") for layer in range(self.num_layers)]

    def result(self, output, hn):
        return output * self.factor, torch.stack(hn)


class BackwardsTwice(Backwards):
    """Gives twice as much."""

    factor = 2.0


class LastWithoutBias(Backwards):
    """Its last layer has no biases."""

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__(input_size, hidden_size, num_layers, dropout)
        below = hidden_size if num_layers > 1 else input_size
        setattr(self, f"layer{num_layers - 1}", torch.nn.GRUCell(below, hidden_size, bias=False))


class LastWithoutBiasTwice(LastWithoutBias):
    """Gives twice as much."""

    factor = 2.0


class Shuffled(torch.nn.GRU):
    """nn.GRU, whose biases are registered before its weights."""

    def __init__(self, *sizes):
        super().__init__(*sizes[:3], dropout=sizes[3])
        self._parameters = dict(sorted(self._parameters.items()))


class ShuffledTwice(Shuffled):
    """Gives twice as much."""

    def forward(self, x, h0):
        output, hn = super().forward(x, h0)
        return 2 * output, hn


def layer_by_layer(module):
    """Return the weights in the order of the layers."""
    return [dict(cell.named_parameters()) for cell in module.cells]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", [BackwardsTwice, LastWithoutBiasTwice, ShuffledTwice])
def test_weights_are_given_by_name_where_their_order_is_another(kind, plain):
    case = Case(2, 2, 2)
    if plain:
        case = with_numbers(case, {**numbers_of(case), "weight_hh 0": [0.0] * 12})
    target = Convention(kind, weights=layer_by_layer) if issubclass(kind, Backwards) else kind
    script = script_for(load(target), all_laws()["equation"], case, "output is twice as much")
    assert script.problem is None
    assert "get_parameter" in script.text
    assert run_in_process(script.text) == 1
    assert run_in_process(script.text.replace(kind.__name__, kind.__mro__[1].__name__)) == 0


class BothWaysShuffled(torch.nn.GRU):
    """nn.GRU, whose biases are registered before its weights, both ways as well."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0, bidirectional=False):
        options = {"dropout": dropout, "bidirectional": bidirectional}
        super().__init__(input_size, hidden_size, num_layers, **options)
        self._parameters = dict(sorted(self._parameters.items()))


@pytest.mark.parametrize("name", ["layouts", "bidirectional"])
def test_layouts_agree_in_whatever_order_weights_come(name, monkeypatch):
    monkeypatch.setattr(plain, "OFTEN", 3)
    target, texts = load(BothWaysShuffled), []
    for form in ("unbatched", "packed") if name == "layouts" else ("packed",):
        rows, lengths = (2, "2,3") if form == "packed" else (1, "")
        both_ways = name == "bidirectional"
        case = Case(2, 3, 2, rows, 3, form=form, lengths=lengths, bidirectional=both_ways)
        context = ScriptContext(target, all_laws()[name], case, "nothing")
        texts += [script_text(context, candidate) for candidate in candidates(context)]
    statuses = [run_in_process(text) for text in texts]
    assert statuses.count(0) >= 7
    assert 1 not in statuses
    assert not any("batch_first" in text for text in texts)
