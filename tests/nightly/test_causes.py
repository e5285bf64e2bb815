"""One fault is one cause; two faults of different kinds are two, and mending one leaves the other.

A pair inherits from both faults. Its causes are compared with those of each fault by itself: the
other one, mended.
"""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import product

import pytest
from torch import nn

from stackgru.engine.run import LawRun
from stackgru.laws.registry import all_laws
from stackgru.options import Options
from stackgru.outcomes import OF_DROPOUT, OF_VARIANTS
from stackgru.report.causes import causes_of
from stackgru.targets.importing import TargetError
from stackgru.targets.target import load
from tests.nightly.helpers import chosen_laws, faults
from tests.subjects import catalogue
from tests.subjects.broken import (
    both_ways,
    conduct,
    derivatives,
    equations,
    generators,
    gradients,
    life,
    masks,
    packed,
    passes,
    precision,
    rates,
    results,
    sequence_masks,
    sequence_results,
    sequence_states,
    sequences,
    states,
    unbatched,
    variants,
)
from tests.subjects.diagnoses import EXPECTED

PAIRS = 100
#: What a fault is about, as far as two of them can be told to be of different kinds.
KINDS = {
    "values": (equations, precision, variants, states, sequences, sequence_states),
    "dropout": (masks, rates, sequence_masks),
    "gradients": (gradients, derivatives, passes),
    "conduct": (conduct, generators, life, results, sequence_results),
    "forms": (packed, unbatched, both_ways),
}
#: Examples a law; what the first do not see at all is asked with the second.
_MAX_EXAMPLES = (25, 100)
#: A class that does two things of two kinds, and so is no single fault.
BOTH_AT_ONCE = variants.ComplementedAndLastDropped
FAULTS = [one for one in faults() if not one.strict and one.name != BOTH_AT_ONCE.__name__]


def kind_of(fault):
    """Return what a fault is about, or None."""
    found = [kind for kind, modules in KINDS.items() if fault.__module__ in names(modules)]
    return found[0] if found else None


def names(modules):
    return [module.__name__ for module in modules]


def both(one, other):
    """Return a class with both faults, or None if they change one method or have no common base."""
    own, others = (
        {name for name, part in vars(it).items() if callable(part)} for it in (one, other)
    )
    if own & others or kind_of(one) in (None, kind_of(other)) or kind_of(other) is None:
        return None
    try:
        made = type(f"{one.__name__}And{other.__name__}", (one, other), {})
        made(2, 3)
    except Exception:  # some cannot be mixed
        return None
    return made


def drawn_pairs():
    """Return PAIRS pairs of faults, drawn once."""
    chosen = random.Random(0)
    every = [pair for pair in product(catalogue.CELLS, repeat=2) if pair[0] is not pair[1]]
    every += [pair for pair in product(catalogue.SEQUENCES, repeat=2) if pair[0] is not pair[1]]
    chosen.shuffle(every)
    found = (pair for pair in every if both(*pair) is not None)
    return [pair for pair, _ in zip(found, range(PAIRS), strict=False)]


def runs_of(target, options):
    """Return the runs of all laws that came to an end."""
    runs = []
    for law in chosen_laws():
        run = LawRun(target, all_laws()[law], options)
        try:
            run.run()
        except (AssertionError, pytest.skip.Exception, pytest.fail.Exception):
            pass
        except (Exception, SystemExit):  # a subject may raise anything
            continue
        runs.append(run)
    return runs


@lru_cache(maxsize=32)
def causes_in(target):
    """Return the causes of what is wrong with a target: the symptom, the variant and the laws."""
    for examples in _MAX_EXAMPLES:
        runs = runs_of(load(target), Options(max_examples=examples, seed=1))
        if any(run.result.violation for run in runs):
            break
    asked = [run for run in runs if run.should_diagnose]
    diagnosis = asked[0].diagnosis() if asked else None
    found = causes_of([run.result for run in runs], diagnosis)
    return {
        (one.violation.symptom.partition("; ")[0].removesuffix(f": {one.variant}"), one.variant): (
            one.laws
        )
        for one in found
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.name)
def test_a_fault_is_one_cause(fault, record_property):
    found = causes_in(fault.spec)
    record_property("causes", [[*key, *laws] for key, laws in found.items()])
    assert len(found) == 1, found


def test_a_fault_that_does_two_things_is_two_causes():
    assert {variant for _, variant in causes_in(BOTH_AT_ONCE)} == {*EXPECTED[BOTH_AT_ONCE]}


def kin_of(key):
    """Return what a cause is about, explained by a variant or not."""
    symptom, _ = key
    return {OF_VARIANTS: "values", OF_DROPOUT: "masks", "draws": "masks"}.get(symptom, symptom)


def only_of(found, one, other):
    """Return causes of a pair that are of one of its faults: they go as that is mended."""
    own, others = ({kin_of(key) for key in causes} for causes in (one, other))
    return [key for key in found if kin_of(key) in own - others]


@pytest.mark.parametrize(
    "pair", drawn_pairs(), ids=lambda one: f"{one[0].__name__}-{one[1].__name__}"
)
def test_two_faults_are_two_causes(pair, record_property):
    assert all(issubclass(one, nn.Module) for one in pair)
    try:
        found = causes_in(both(*pair))
    except TargetError as error:
        pytest.skip(f"the two cannot be mixed: {error}")
    first, second = causes_in(pair[0]), causes_in(pair[1])
    record_property("kinds", [kind_of(one) for one in pair])
    record_property("causes", [[*key, *laws] for key, laws in found.items()])
    of_first, of_second = only_of(found, first, second), only_of(found, second, first)
    assert of_first, f"{pair[0].__name__} has no cause of its own: {first} in {found}"
    assert of_second, f"{pair[1].__name__} has no cause of its own: {second} in {found}"
    record_property("more", len({*found} - {*first} - {*second}))
