"""Scripts: each shows its fault, agrees for a correct module, and has no line to spare."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import stackgru
from stackgru.cases.case import Case
from stackgru.cases.tensors import is_literal, numbers_of
from stackgru.harness.build_facts import split_draw_is_one_draw
from stackgru.harness.pair import Pair
from stackgru.laws.registry import all_laws
from stackgru.outcomes import NotApplicable, Violated
from stackgru.repro.bug import plainest
from stackgru.repro.scripts import NoScript, run_in_process, script_for
from stackgru.repro.scripts.text import rounded_up
from stackgru.repro.simplify import simplify, violation_in
from stackgru.targets.probe import supported_casts, supported_dtypes
from stackgru.targets.target import load
from tests.subjects.catalogue import REFUSALS
from tests.subjects.conventions import called_otherwise, fused
from tests.subjects.right.variants import Stack

LINES = (Path(__file__).parent / "shrunk_cases.txt").read_text().splitlines()
SHRUNK = [line.split(" ", 2) for line in LINES]
#: The first case of each law; nightly runs the others too.
FIRST = list({law: (spec, law, text) for spec, law, text in reversed(SHRUNK)}.values())
VALUES = ("equation", "one-step", "unrolled", "same-masks")


def skip_without_float16(case):
    """Skip a test if this build cannot run a case's float16."""
    if "float16" in {case.dtype, case.autocast} - {*supported_dtypes(), *supported_casts()}:
        pytest.skip("nn.GRU does not run in float16 on this build")


@pytest.mark.parametrize(
    ("spec", "law", "text"),
    [
        pytest.param(*one, id=" ".join(one[:2]), marks=() if one in FIRST else pytest.mark.nightly)
        for one in map(tuple, SHRUNK)
    ],
)
def test_a_script_shows_its_fault(spec, law, text):
    case, strict = Case.parse(text), load(spec).factory in REFUSALS
    skip_without_float16(case)
    try:
        all_laws()[law].check(Pair(load(spec), case, strict=strict))
    except NotApplicable as error:
        pytest.skip(str(error))
    except Violated:
        pass
    else:
        assert not split_draw_is_one_draw()
        pytest.skip("on this build the seeds of the case hide the fault")
    arguments = load(spec), all_laws()[law], case, "nothing"
    # Plain numbers take long to find; nightly looks for them in every script.
    if law in VALUES:
        _, script = plainest(*arguments, strict=strict, seconds=60)
    else:
        script = script_for(*arguments, strict=strict)
    assert script.problem is None
    assert run_in_process(script.text) == 1
    # It needs torch and the target only, and no line that is not used.
    roots = {alias.split(".")[0] for alias in imported(script.text)}
    assert roots - {"torch", "tests"} <= sys.stdlib_module_names
    # Others may import what only another candidate needs; a law that raises is shown up to there.
    if (spec, law, text) in FIRST and '"it ran"' not in script.text:
        assert unused(script.text) <= {"output", "hn"}
    if "rounding allows" in script.text and law in VALUES and is_literal(case):
        assert len(script.text.splitlines()) <= 40


def imported(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def unused(text):
    """Return the names that a script assigns and never reads."""
    tree = ast.parse(text)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    assigned |= {alias.split(".")[0] for alias in imported(text)} - {"tests"}
    return assigned - read - {"_"}


def test_every_law_is_there():
    """But for one about hundreds of values, which has no text, and one about a race."""
    without = {"functional-call", "unbiased", "in-threads"}
    assert {law for _, law, _ in FIRST} >= set(all_laws()) - without


def test_a_right_cell_has_nothing_to_show():
    target, law = load(Stack), all_laws()["equation"]
    assert simplify(target, law, Case()) is None
    script = script_for(target, law, Case(), "nothing")
    assert script.problem == "it does not show the violation"
    assert run_in_process(script.text) == 0


def test_an_error_that_the_bound_of_a_whole_run_hides_is_shown():
    """It is twice the bound of its layer, and less than that of three layers and two steps."""
    case = Case(2, 1, 3, 13, 2, dtype="float32", seed=152365, bias=False)
    target = load("tests.subjects.broken.precision:TanhBySigmoid")
    script = script_for(target, all_laws()["equation"], case, "nothing")
    assert script.problem is None
    assert run_in_process(script.text) == 1


def test_numbers_become_plain():
    target, law = load("tests.subjects.broken.precision:Gain"), all_laws()["equation"]
    small = simplify(target, law, Case())
    assert set(numbers_of(small.case)["weight_ih 0"]) == {0.0}
    assert small.after < 20 < 200 < small.before
    assert small.violation.law == "equation"
    assert violation_in(target, law, small.case, strict=False) is not None


def test_of_many_numbers_whole_tensors_become_zeros_first():
    case, law = Case(1, 2, 2), all_laws()["equation"]
    assert not is_literal(case)
    small, script = plainest(
        load("tests.subjects.broken.states:UnitsInReverse"), law, case, "reversed"
    )
    assert is_literal(small.case)
    assert small.after < 80 < 1000 < small.before
    assert "drawn(" not in script.text
    assert script.problem is None


def test_of_more_numbers_than_these_those_that_matter_are_drawn():
    case, law = Case(1, 51), all_laws()["equation"]
    small, script = plainest(
        load("tests.subjects.broken.rare_inputs:WideUnitsStay"), law, case, "too wide"
    )
    assert not is_literal(small.case)
    assert 0.0 < small.after < small.before
    assert script.text.count("drawn(") == 2  # its definition, and the only one that it needs
    assert script.problem is None


def test_without_time_numbers_stay():
    target, law = load("tests.subjects.broken.precision:Gain"), all_laws()["equation"]
    small = simplify(target, law, Case(), seconds=0)
    assert small.case == Case()
    assert small.after == small.before


def test_when_time_is_over_what_was_found_is_kept(monkeypatch):
    """Hypothesis asks again for what it found last; that must still show the violation."""
    target, law = load("tests.subjects.broken.precision:Gain"), all_laws()["equation"]
    asked = []

    def clock():
        asked.append(None)
        return 0.0 if len(asked) < 12 else 1e9

    monkeypatch.setattr("stackgru.repro.simplify.time.monotonic", clock)
    small = simplify(target, law, Case(), seconds=1)
    assert small.case.numbers
    assert violation_in(target, law, small.case, strict=False) is not None


@pytest.mark.parametrize(
    ("fault", "law", "text", "shown"),
    [
        ("situations:RowsSharedOutToThreads", "unrolled", "threads=2", "torch.set_num_threads(2)"),
        (
            "situations:DeterministicDropsNothing",
            "same-masks",
            "num_layers=2 dropout=0.5 mode=train deterministic=True",
            "torch.use_deterministic_algorithms(True)",
        ),
        (
            "situations:LearnedStateByData",
            "gradients",
            "arguments=parameters",
            "h0 = nn.Parameter(h0)",
        ),
        (
            "situations:CopiesStridedInputByData",
            "strided",
            "batch=2 mode=train input_strides=slice",
            "x.requires_grad_(), h0.requires_grad_()",
        ),
        (
            "under_autocast:AutocastReadsByData",
            "autocast-gradients",
            "dtype=float32 autocast=bfloat16",
            "weight_ih",
        ),
        ("generators:SeedsPythonEveryTenCalls", "generators", "calls=5", "if number == 3:"),
        (
            "nested:NoticesItsOwnEvalOnly",
            "equation",
            "num_layers=2 dropout=0.5",
            ".to(torch.float64).train(False)",
        ),
        ("nested:OnesConvertedByItsOwnTo", "inherited", "", "as_kinds(observed)"),
        (
            "both_ways:WayBackWeightsDetached",
            "gradients",
            "bidirectional=True",
            "weight_hh_l0_reverse",
        ),
        (
            "drop_in:OneWayAfterTheOther",
            "bidirectional",
            "num_layers=2 bidirectional=True",
            "tuple(parameter.shape)",
        ),
        (
            "forms:BatchFirstDropsRowsAlike",
            "unrolled",
            "num_layers=2 batch=2 seq_len=2 mode=train form=packed batch_first=True lengths=1,2",
            "rows = pack_padded_sequence(",
        ),
        ("strict_only:OutputInSinglePrecision", "dtypes", "", ".bfloat16()"),
        ("drop_in:WaysBeforeTheRate", "drop-in", "dropout=0.5", "what is right has no such"),
        (
            "under_autocast:AutocastDropsNothing",
            "autocast",
            "num_layers=2 dropout=0.5 dtype=float32 mode=train autocast=float16",
            "torch.manual_seed(0)",
        ),
    ],
)
def test_a_script_does_what_the_law_tried(fault, law, text, shown):
    target, case = load(f"tests.subjects.broken.{fault}"), Case.parse(text)
    skip_without_float16(case)
    script = script_for(target, all_laws()[law], case, "wrong", strict=True)
    assert script.problem is None
    assert shown in script.text


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0.0, "0"), (1.0, "1"), (3.3306690738754696e-15, "3.34e-15"), (12345.0, "1.24e+4")],
)
def test_a_bound_is_never_rounded_down(bound, text):
    assert rounded_up(bound) == text
    assert float(text) >= bound


def test_what_does_not_apply_is_no_violation():
    def never(pair):
        raise NotApplicable("no")

    law = replace(all_laws()["equation"], check=never)
    assert violation_in(load(Stack), law, Case(), strict=False) is None


def test_many_numbers_are_drawn_by_the_script():
    case = Case(3, 8, 2, 2, 2, weights="subnormal", state="tiny", input="large")
    target, law = load("tests.subjects.broken.equations:UpdateGateMoved"), all_laws()["equation"]
    script = script_for(target, law, case, "too large")
    assert "def drawn(seed, *shape, scale=1.0, whole=False):" in script.text
    assert script.problem is None


@pytest.mark.parametrize("convention", [None, "constants"])
def test_what_cannot_be_named_has_no_script(convention):
    class Inside(Stack):
        """Gives too much."""

        def result(self, output, hn):
            return output + 1, torch.stack(hn) + 1

    target = Inside
    if convention:
        target = stackgru.Convention(Stack, constants={"bias": torch.tensor(True)})
    with pytest.raises(NoScript, match=r"cannot be imported|has no text"):
        script_for(load(target), all_laws()["equation"], Case(), "too much")


def test_weights_that_are_no_parameters_have_no_script():
    wrong = stackgru.Convention(fused.UpdateFirstForgotten, weights=fused.read)
    with pytest.raises(NoScript, match="are not parameters of its own"):
        script_for(load(wrong), all_laws()["equation"], Case(), "anything")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("InPlaceButTheLast", {"state": "list"}, "num_layers=2 seq_len=2"),
        ("StateOnlyDoubled", {"returns": "state"}, "mode=train dropout=0.5"),
        ("OneStepDropsTheOutput", {"time_axis": True}, "mode=train dropout=0.5"),
        ("RowsFirstMixed", {"state": "batch-first"}, "batch=2 hidden_size=2 num_layers=2"),
        ("SideBySideWrong", {"state": "concatenated"}, "num_layers=2"),
        ("TupleWrong", {"state": "tuple"}, ""),
        ("StateBeforeWrong", {"returns": "state, output"}, ""),
    ],
)
def test_a_convention_is_written_out(name, options, text):
    place = (
        "tests.subjects.conventions.called_otherwise"
        if hasattr(called_otherwise, name)
        else __name__
    )
    target = load(f"{place}:{name}", fields=options)
    case = Case.parse(text)
    law = all_laws()["one-step" if case.seq_len == 1 else "unrolled"]
    script = script_for(target, law, case, "anything")
    assert "def call(x, state):" in script.text
    assert script.problem is None
    assert run_in_process(script.text) == 1


class SideBySideWrong(called_otherwise.SideBySide):
    """The output is doubled."""

    def forward(self, x, state):
        output, state = super().forward(x, state)
        return 2 * output, state


class TupleWrong(Stack):
    """The state comes in a tuple, and the output doubled."""

    def forward(self, x, state):
        output, hn = super().forward(x, state[0])
        return 2 * output, (hn,)


class StateBeforeWrong(called_otherwise.StateBefore):
    """The output is doubled."""

    def forward(self, x, h):
        state, output = super().forward(x, h)
        return state, 2 * output


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("import sys\nprint('They differ.')\nsys.exit(1)", 1),
        ("import sys\nprint('They agree.')\nsys.exit(0)", 0),
        ("import sys\nprint('They agree.')\nsys.exit(1)", None),
        ("import sys\nsys.exit(1)", None),
        ("raise ValueError('no')", None),
        ("import torch\ntorch.set_default_dtype(torch.float64)", None),
    ],
)
def test_a_script_that_says_nothing_shows_nothing(text, status):
    assert run_in_process(text) == status
    assert torch.get_default_dtype() == torch.float32


def test_scripts_of_nn_gru_need_torch_alone():
    script = script_for(load(nn.GRU), all_laws()["equation"], Case(), "anything")
    assert {name.split(".")[0] for name in imported(script.text)} <= {"sys", "torch"}
