"""Causes: violations of one fault are one, and what a variant explains is named by it."""

from __future__ import annotations

from stackgru.outcomes import OF_DROPOUT, OF_VARIANTS, Violation
from stackgru.report.causes import causes_of
from stackgru.report.law_result import LawResult

EVAL, TRAIN = "hidden_size=1 mode=eval seed=0", "hidden_size=1 dropout=0.5 mode=train seed=0"


def violated(name, symptom, case=EVAL, message="output: got 1.0, expected 0.5"):
    violation = Violation(name, case, message, symptom=symptom)
    return LawResult(name, "values", "training", "violated", violation=violation)


def named(*variants, of_dropout=()):
    return {"variants": [*variants, *of_dropout], "of_dropout": [*of_dropout]}


def seen(results, diagnosis=None):
    return [(one.variant, one.laws) for one in causes_of(results, diagnosis)]


def test_laws_with_one_symptom_see_one_cause():
    results = [
        violated("equation", "values", EVAL + " bias=False"),
        LawResult("rows", "values", "training", "holds"),
        violated("gradients", "values"),
        violated("purity", "purity", message="a call changes the default dtype"),
    ]
    assert seen(results) == [(None, ("equation", "gradients")), (None, ("purity",))]
    of_values, of_conduct = causes_of(results, None)
    assert of_values.sentence == "in eval its results are not nn.GRU's"
    assert of_values.violation.law == "gradients", "the shorter case"
    assert of_conduct.sentence == "a call changes the default dtype"
    assert of_conduct.to_dict()["case"] == EVAL


def test_what_has_no_symptom_stays_by_itself():
    results = [violated("equation", None), violated("unrolled", None)]
    assert seen(results) == [(None, ("equation",)), (None, ("unrolled",))]


def test_a_known_violation_is_no_cause():
    known = violated("equation", "values")
    assert causes_of([LawResult(**{**vars(known), "status": "known"})], None) == ()


def test_variants_are_named_by_what_they_explain():
    results = [
        violated("equation", OF_VARIANTS),
        violated("same-masks", OF_DROPOUT, TRAIN),
        violated("mask-count", OF_DROPOUT, TRAIN),
        violated("gradients", "gradients"),
    ]
    both = named("gates in another order", of_dropout=["dropout on the input"])
    assert seen(results, both) == [
        ("gates in another order", ("equation",)),
        ("dropout on the input", ("same-masks", "mask-count")),
        (None, ("gradients",)),
    ]
    assert causes_of(results, both)[0].sentence == "it is nn.GRU with gates in another order"


def test_other_random_numbers_are_of_other_masks():
    results = [violated("one-step", "draws"), violated("same-masks", "masks")]
    (cause,) = causes_of(results, None)
    assert cause.laws == ("one-step", "same-masks")
    assert cause.sentence.startswith("in training its results are not nn.GRU's")
    assert len(causes_of(results[:1], None)) == 1


def test_what_calls_leave_is_one_cause_if_one_attribute_is_known():
    results = [violated("purity", "calls"), violated("stateless", "calls: last")]
    (cause,) = causes_of(results, None)
    assert cause.laws == ("purity", "stateless")
    assert "in its attribute last" in cause.sentence
    results.append(violated("replaced", "calls: kept"))
    assert len(causes_of(results, None)) == 3


def test_what_a_sentence_says_of_the_case_is_said_once():
    (cause,) = causes_of(
        [violated("equation", "start", f"{EVAL} h0=left-out batch_first=True")], None
    )
    assert cause.sentence == "without a state it does not start from zeros (batch first)"


def test_a_method_is_named():
    results = [violated("nested", "methods: parameters"), violated("life", "methods")]
    (cause,) = causes_of(results, None)
    assert cause.laws == ("nested", "life")
    assert cause.sentence.endswith("does something else than torch's: parameters()")


def test_a_variant_of_dropout_that_keeps_its_masks_is_one_cause():
    results = [
        violated("same-masks", f"{OF_DROPOUT}; calls: kept", TRAIN),
        violated("training", OF_DROPOUT, TRAIN),
        violated("repeatable", "calls: kept", TRAIN),
    ]
    named = {"variants": ["one mask for all steps"], "of_dropout": ["one mask for all steps"]}
    (cause,) = causes_of(results, named)
    assert cause.laws == ("same-masks", "training", "repeatable")
    assert cause.sentence == "it is nn.GRU with one mask for all steps"
    results.append(violated("stateless", "calls: counter"))
    assert len(causes_of(results, named)) == 2
