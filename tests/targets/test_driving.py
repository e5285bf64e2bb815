"""Driving what people have: by an option, in Python, and by weights that are found by trying."""

from __future__ import annotations

import contextlib
import shlex

import pytest
import torch
from torch import nn

from stackgru import Convention, TargetError, UsageError, check
from stackgru.cases.case import Case
from stackgru.engine.collect import collect_runs
from stackgru.harness.pair import Pair
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.find_weights import find_weights
from stackgru.targets.target import load
from tests.helpers import invoke
from tests.subjects.conventions import driven
from tests.subjects.conventions.driven import DRIVEN

#: The laws that see faults which the law of the equation does not.
SEEN_BY = {
    driven.EncoderDetached: "gradients",
    driven.JointDropsAll: "unrolled",
    driven.PerGateRarely: "magnitudes",
    driven.PlainCellFromOne: "default-state",
}
#: What is quick; nightly tries all laws.
LAWS = ("equation", "unrolled", "same-masks", "default-state", "gradients", "stateless", "causal")


def by_name(value):
    return getattr(value, "__name__", "")


RIGHT = {right: (fields, words) for right, _, fields, words in DRIVEN}


def statuses(kind, fields, **options):
    """Run laws on a target one after the other; yield what becomes of each."""
    for run in collect_runs(Convention(kind, **fields), Options(seed=3, **options)):
        if run.law is not None:
            with contextlib.suppress(pytest.skip.Exception, Violated):
                run.run()
            yield run.result.status


@pytest.mark.parametrize("kind", RIGHT, ids=by_name)
def test_what_is_right_is_not_accused(kind):
    fields, _ = RIGHT[kind]
    assert set(statuses(kind, fields, max_examples=4, laws=LAWS)) <= {"holds", "not applicable"}
    hidden = [fields.get("state") == "none", fields.get("returns") == "output"]
    words = ("no h0 goes in", "hn is not returned")
    said = tuple(word for word, is_so in zip(words, hidden, strict=True) if is_so)
    assert load(Convention(kind, **fields)).unseen == said


@pytest.mark.parametrize(("fault", "fields"), [(one[1], one[2]) for one in DRIVEN], ids=by_name)
def test_what_is_wrong_is_seen(fault, fields):
    laws = (SEEN_BY.get(fault, "equation"),)
    assert [*statuses(fault, fields, max_examples=60, laws=laws, shrink=False)] == ["violated"]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", RIGHT, ids=by_name)
def test_no_law_accuses_what_is_right(kind):
    report = check(Convention(kind, **RIGHT[kind][0]), max_examples=100)
    assert report.exit_status == 0, str(report)
    assert "is interchangeable with nn.GRU" in report.sentence


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("RowsFirstEncoder", "--state none --returns output --batch-first"),
        pytest.param("Encoder", "--state none --returns output", marks=pytest.mark.nightly),
        pytest.param("WithoutState", "--state none", marks=pytest.mark.nightly),
        pytest.param("RowsFirst", "--batch-first", marks=pytest.mark.nightly),
        pytest.param(
            "PlainCell", "--state concatenated --returns state", marks=pytest.mark.nightly
        ),
        pytest.param(
            "OneWidth", "--arguments input_size,num_layers,dropout", marks=pytest.mark.nightly
        ),
    ],
)
def test_what_it_needs_is_found_and_can_be_pasted(kind, words):
    place = f"tests.subjects.conventions.driven:{kind}"
    first = invoke("check", place, "--laws", "equation", "--max-examples", 3)
    assert first.exit_code == 2
    line = first.output.splitlines()[-1]
    assert line == f"  stackgru check {place} {words}"
    second = invoke(*shlex.split(line)[1:], "--laws", "equation", "--max-examples", 3)
    assert second.exit_code == 0, second.output


def test_a_constant_is_read_as_json_and_reruns_with_it():
    words = ["--constant", 'mode="gru"', "--constant", "scale=1.0", "--constant", "norms=[]"]
    place = "tests.subjects.conventions.driven:WithOptions"
    few = ["--laws", "equation", "--max-examples", 5]
    assert invoke("check", place, *words, *few).exit_code == 0
    words[1] = 'mode="a, b=c"'
    wrong = invoke("check", place, *words, *few)
    assert wrong.exit_code == 1
    assert f"--constant {shlex.quote(words[1])}" in " ".join(wrong.output.split())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mode=gru", "constant mode: 'gru' is not JSON; did you mean 'mode=\"gru\"'?"),
        ("on=True", "constant on: 'True' is not JSON; did you mean on=true?"),
        ("mode", "a constant must be NAME=JSON, got 'mode'."),
    ],
)
def test_a_constant_that_is_none(given, said):
    shown = invoke("check", "stackgru:StackingGRUCell", "--constant", given)
    assert shown.exit_code == 2
    assert said in shown.output


def test_a_config_needs_one_line():
    place = "tests.subjects.conventions.driven"
    shown = invoke("check", f"{place}:FromConfig")
    assert shown.exit_code == 2
    assert "def MINE(input_size, hidden_size): return FromConfig(...)" in shown.output
    few = ["--laws", "equation", "--max-examples", 3]
    assert invoke("check", f"{place}:from_config", *few).exit_code == 0


def test_sizes_are_kept_to():
    target = load(Convention(driven.OfFour, sizes={"hidden_size": (4, 8, 12), "input_size": 3}))
    assert target.fitted(Case(input_size=9, hidden_size=7)).hidden_size == 8
    assert target.fitted(Case(input_size=9, hidden_size=70)).hidden_size == 12
    assert target.fitted(Case(input_size=9)).input_size == 3
    with pytest.raises(UsageError, match="hidden_size must be a number or numbers above 0"):
        Convention(driven.OfFour, sizes={"hidden_size": 0})


def test_a_sequence_says_which_axis_is_time():
    with pytest.raises(TargetError, match="it is batch first: pass --batch-first"):
        load(Convention(driven.RowsFirstEncoder, **driven.NO_STATE))
    with pytest.raises(TargetError, match="it is time first: leave out --batch-first"):
        load(Convention(driven.Encoder, **driven.NO_STATE, batch_first=True))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (driven.PerGate, "x_r.weight holds r of the input"),
        (driven.Joint, "gates.N.weight holds z, r of state and input"),
        (driven.Transposed, "of_x holds n, z, r of the input, transposed"),
    ],
)
def test_weights_are_found_by_trying(kind, found):
    target = load(kind)
    assert found in target.found
    case = target.fitted(Case(3, 5, 2, 4))
    pair = Pair(target, case)
    run, right = pair.steps(), pair.run_reference()
    assert torch.allclose(run.hn, right.hn, atol=1e-12)


def test_no_arrangement_that_fits_is_an_error():
    with pytest.raises(TargetError, match=r"of \d+ ways to read them, none makes it nn\.GRU"):
        load(driven.PerGateSwapped)
    with pytest.raises(TargetError, match=r"Forgetful carries nothing from step to step\."):
        load(Convention(driven.Forgetful, **driven.NO_STATE))


class Named(driven.Transposed):
    """Its names are nn.GRU's, and its gates in another order: a fault."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        for old, new in (("of_x", "weight_ih"), ("of_h", "weight_hh")):
            self.register_parameter(new, nn.Parameter(getattr(self, old).detach().T.clone()))
            delattr(self, old)
        for old, new in (("one", "bias_ih"), ("other", "bias_hh")):
            self.register_parameter(new, getattr(self, old))
            delattr(self, old)

    def forward(self, x, h):
        n, z, r = nn.functional.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        m, y, s = nn.functional.linear(h[0], self.weight_hh, self.bias_hh).chunk(3, -1)
        z, n = torch.sigmoid(z + y), torch.tanh(n + torch.sigmoid(r + s) * m)
        new = (1 - z) * n + z * h[0]
        return new, new[None]


def test_where_names_say_where_the_weights_are_nothing_is_tried():
    target = load(Named)
    assert target.found is None
    assert check(Named, laws=("equation",), max_examples=5, shrink=False).exit_status == 1


def test_biases_that_are_none_are_no_biases():
    def layers(module):
        return [{"weight_ih": module.of_x.weight, "weight_hh": module.of_h.weight, "bias_ih": None}]

    module = driven.Forgetful(3, 4)
    (layer,) = find_weights(module, Case(3, 4), function=layers).layers
    assert set(layer) == {"weight_ih", "weight_hh"}
