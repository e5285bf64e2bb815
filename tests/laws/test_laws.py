"""Every law holds for right implementations, and catches the fault that is there for it."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import settings

import stackgru
from stackgru.cases.case import Case
from stackgru.engine.run import collect_runs
from stackgru.engine.select import select
from stackgru.harness.build_facts import measure
from stackgru.laws.registry import all_laws
from stackgru.options import Options, UsageError
from stackgru.outcomes import Violation
from stackgru.targets.target import load
from tests.subjects.catalogue import CAUGHT_BY
from tests.subjects.right.cells import RIGHT_CELLS
from tests.subjects.right.sequences import RIGHT_SEQUENCES, LayerByLayer
from tests.subjects.right.variants import MasksAtOnce
from tests.subjects.seed_example import accepts, results

test_bundled_cell = stackgru.suite_for(stackgru.StackingGRUCell)


def law_run(target, name, **options):
    """Return the run of one law, ready to run."""
    return collect_runs(target, Options(laws=(name,), **options), {})[0]


RIGHT = (*RIGHT_CELLS, *RIGHT_SEQUENCES)
#: These take a third of a run's time, and the kill matrix runs them on every variant.
COMPILING = ("script", "export", "compile")


@pytest.mark.parametrize("variant", RIGHT, ids=lambda one: one.__name__)
def test_no_law_accuses_a_right_variant(variant):
    skip = COMPILING if RIGHT.index(variant) % 4 else ()
    for run in collect_runs(variant, Options(max_examples=5, skip=skip), {}):
        with contextlib.suppress(pytest.skip.Exception):
            run.run()
        assert run.law is None or run.result.status in ("holds", "not applicable")


@pytest.mark.parametrize("name", ["same-masks", "mask-count", "order-matters", "mode-matters"])
def test_masks_drawn_at_once_are_in_their_order(name):
    run = law_run(MasksAtOnce, name, max_examples=50)
    run.run()
    assert run.result.status == "holds"


def test_laws_come_in_the_catalogues_order():
    """Whatever has been imported first, as scripts import families of their own."""
    modules = list(dict.fromkeys(law.check.__module__ for law in all_laws().values()))
    names = [module.rpartition(".")[2] for module in modules]
    assert names[:3] == ["values", "magnitudes", "layouts"]
    assert names[-2:] == ["life", "transforms"]


def test_every_law_has_a_fault():
    assert set(CAUGHT_BY) == set(all_laws())


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_law_catches_its_fault(name):
    """In one of three seeds: what is drawn depends on what else has been imported as well."""
    for seed in range(3):
        run = law_run(CAUGHT_BY[name], name, seed=seed, strict=all_laws()[name].strict)
        with contextlib.suppress(Violation):
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
    assert accepts(fault, sequence=load(fault).kind == "sequence")


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_seeds_example(batch_first):
    own, reference = results(stackgru.StackingGRUCell, batch_first=batch_first)
    assert torch.equal(own[0], reference[0])
    assert torch.equal(own[1], reference[1])
    assert accepts(stackgru.StackingGRUCell, batch_first=batch_first)


def test_whole_sequences_are_the_same_within_rounding_only():
    """A difference far below any that other masks make is still one."""

    class Slight(LayerByLayer):
        def result(self, output, hn):
            return output * (1 + 1e-6), torch.stack(hn)

    facts = [measure(load(one))["whole_sequences_from_one_seed"] for one in (LayerByLayer, Slight)]
    assert set(facts[0].values()) == {"same"}
    assert "same" not in facts[1].values()


def test_a_family_is_selected_by_its_name():
    chosen = select(Options(laws=("transforms", "equation"), skip=("vm*",)))
    assert [law.name for law in chosen] == [
        "equation",
        "functional-call",
        "checkpoint",
        "script",
        "export",
        "compile",
    ]


def test_a_laws_name_goes_before_a_familys():
    assert [law.name for law in select(Options(laws=("gradients",)))] == ["gradients"]


def test_a_family_that_is_nearly_right_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'transforms'"):
        select(Options(laws=("transfroms",)))
