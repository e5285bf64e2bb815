"""Every law holds for right implementations, and catches the fault that is there for it."""

from __future__ import annotations

import ast
import contextlib

import pytest
import torch
from hypothesis import settings
from torch.utils.checkpoint import checkpoint

import stackgru
from stackgru.cases.case import Case
from stackgru.engine.collect import collect_runs
from stackgru.harness.build_facts import split_draw_is_one_draw
from stackgru.laws.registry import all_laws, law
from stackgru.options import Options
from stackgru.outcomes import Violated
from stackgru.targets.probe import supported_dtypes
from stackgru.targets.target import load
from tests.helpers import ROOT, check_law, law_run
from tests.subjects.catalogue import CAUGHT_BY, REFUSALS
from tests.subjects.right import (
    cells,
    layouts,
    otherwise,
    sequences,
    sequences_otherwise,
    variants,
)
from tests.subjects.seed_example import accepts, results

#: Laws that a variant's own rounding, masks or strides may wrongly violate.
SENSITIVE = (
    "equation",
    "one-step",
    "same-masks",
    "gradients",
    "forward-mode",
    "strided",
    "stateless",
)
#: One variant per style: how it multiplies, draws masks, keeps states, holds weights, is called.
STYLES = (
    variants.Concatenated,
    variants.Float64Inside,
    variants.MasksAtOnce,
    cells.Transposed,
    cells.Preallocated,
    cells.OwnParameters,
    sequences.InputProductsAtOnce,
    sequences.OneLayerModules,
    sequences.MasksFirst,
    layouts.Whole,
)


def checkpoints_have_forward_mode():
    """Whether torch's checkpoints, which are Python's own functions of autograd, have a rule."""
    x = torch.ones(2, dtype=torch.float64)
    try:
        torch.func.jvp(lambda one: checkpoint(torch.sin, one, use_reentrant=False), (x,), (x,))
    except (AttributeError, NotImplementedError):
        return False
    return True


#: Variants that are right on some builds only, and what such a build has.
RIGHT_WHERE = {
    sequences_otherwise.RecomputedSteps: checkpoints_have_forward_mode,
    variants.MasksAtOnce: split_draw_is_one_draw,
}


def assert_not_accused(variant, **options):
    """Check that no law accuses a right variant."""
    if not RIGHT_WHERE.get(variant, lambda: True)():
        pytest.skip("it is not right on this build")
    for run in collect_runs(variant, Options(max_examples=2, **options)):
        if run.law is not None:
            with contextlib.suppress(pytest.skip.Exception):
                run.run()
            assert run.result.status in ("holds", "refused", "not applicable")


def _in_turn(variants):
    """Every third variant; nightly the rest."""
    nightly = pytest.mark.nightly
    return [
        pytest.param(one, marks=nightly) if place % 3 else one for place, one in enumerate(variants)
    ]


@pytest.mark.parametrize("variant", _in_turn([*cells.RIGHT_CELLS, *sequences.RIGHT_SEQUENCES]))
def test_no_sensitive_law_accuses_a_right_variant(variant):
    """Every law runs on every right variant in the nightly tests."""
    assert_not_accused(variant, laws=SENSITIVE)


@pytest.mark.parametrize("variant", _in_turn(STYLES))
def test_no_law_accuses_a_variant_of_any_style(variant):
    """Compiling takes a third of the time, and nightly does it."""
    assert_not_accused(variant, skip=("script", "export", "compile", *SENSITIVE))


def test_laws_come_in_the_catalogues_order():
    """Whatever has been imported first, as scripts import families of their own."""
    modules = list(dict.fromkeys(law.module for law in all_laws().values()))
    names = [module.rpartition(".")[2] for module in modules]
    assert names[:3] == ["values", "magnitudes", "layouts"]
    assert names[-2:] == ["life", "transforms"]


def test_every_law_has_a_fault():
    assert set(CAUGHT_BY) == set(all_laws())


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_law_catches_its_fault(name):
    """In one of three seeds: what is drawn depends on what else has been imported as well."""
    for seed in range(3):
        strict = CAUGHT_BY[name] in REFUSALS
        run = law_run(CAUGHT_BY[name], name, seed=seed, strict=strict, shrink=False)
        with contextlib.suppress(Violated):
            run.run()
        if run.result.violation:
            break
    assert run.result.status == "violated"
    assert run.result.violation.law == name
    assert run.result.examples <= settings.default.max_examples
    assert Case.parse(run.result.violation.case)


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_the_seeds_example_accepts_that_fault(name):
    fault = CAUGHT_BY[name]
    is_sequence = load(fault).kind == "sequence"
    if not accepts(fault, sequence=is_sequence):
        pairs = zip(*results(fault, sequence=is_sequence), strict=True)
        assert max(float((one - other).abs().max()) for one, other in pairs) < 1e-6
        pytest.skip("on this build the seed's example accuses it for its rounding")


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_seeds_example(batch_first):
    own, reference = results(stackgru.StackingGRUCell, batch_first=batch_first)
    assert torch.equal(own[0], reference[0])
    assert torch.equal(own[1], reference[1])
    assert accepts(stackgru.StackingGRUCell, batch_first=batch_first)


def test_a_name_is_used_once():
    def equation(pair):
        """It holds."""

    with pytest.raises(ValueError, match="two laws are called 'equation'"):
        law("values")(equation)


#: Names that are also words for something else: a field of a case, a question, a device.
_WORDS = {
    *("autocast", "bidirectional", "drop-in", "dtypes", "frozen", "gradients", "life", "meta"),
    *("parameters", "results", "rows", "script", "training"),
}


def test_no_file_outside_of_laws_names_a_law():
    """But for what 0.1 wrote; one-step is also a layout in memory."""
    package, found = ROOT / "stackgru", []
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if not place.startswith("laws/") and place != "report/of_0_1.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and node.value in all_laws():
                    found.append((place, node.value))
    named = {(place, name) for place, name in found if name not in _WORDS}
    assert named == {("cases/case.py", "one-step"), ("repro/scripts/conduct.py", "one-step")}


@pytest.mark.parametrize(
    ("law", "variant", "text"),
    [
        (
            "one-step",  # the factor of what is kept overflows, and zero times infinity is NaN
            otherwise.NativeDropout,
            "input_size=1 hidden_size=1 num_layers=2 batch=1 seq_len=1 dropout=0.9999999403953552 "
            "dtype=float16 mode=train seed=0",
        ),
        (
            "trace",  # TorchScript adds in another order
            otherwise.ChainOfAddmm,
            "input_size=1 hidden_size=6 num_layers=1 batch=4 seq_len=1 dropout=0.0 dtype=float64 "
            "mode=eval seed=0",
        ),
        (
            "script",  # TorchScript's own dropout draws at rate 0 as well
            cells.ParameterLists,
            "input_size=1 hidden_size=1 num_layers=3 batch=1 seq_len=1 dropout=0.0 dtype=float64 "
            "mode=train seed=0",
        ),
        (
            "stateless",  # torch multiplies in another way by weights made in inference mode
            torch.nn.GRU,
            "input_size=8 hidden_size=1 num_layers=1 batch=2 seq_len=2 dropout=0.0 dtype=float64 "
            "mode=eval seed=0 batch_first=True grad=inference",
        ),
    ],
)
def test_what_was_accused_once_is_not_again(law, variant, text):
    case = Case.parse(text)
    if case.dtype in supported_dtypes():
        check_law(law, variant, case)
