"""Which cases a law is tried on, where the target or the options leave some out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackgru.engine.select import domain, select
from stackgru.laws.registry import all_laws
from stackgru.options import Options, UsageError
from stackgru.outcomes import NotApplicable
from stackgru.targets.target import load
from tests.subjects.right.cells import OwnParameters
from tests.subjects.right.variants import Stack


class OneLayer(Stack):
    """Takes sizes and bias only."""

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size, 1, 0.0, bias)


class WithoutDropout(Stack):
    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__(input_size, hidden_size, num_layers)


def without_rate(input_size, hidden_size, num_layers=1):
    return Stack(input_size, hidden_size, num_layers)


def without_layers(input_size, hidden_size, dropout=0.0):
    return Stack(input_size, hidden_size, 1, dropout)


@pytest.mark.parametrize(
    ("target", "law", "options", "reason"),
    [
        (Stack, "causal", {}, "applies to sequence modules only; the target is a cell"),
        (Stack, "refusals", {}, "only checked with --strict"),
        (OwnParameters, "default-state", {}, "the target cannot be called without a state"),
        (without_rate, "mask-count", {}, "the target's constructor takes no dropout"),
        (without_layers, "mask-count", {}, "the target's constructor takes no num_layers"),
        (
            "torch.nn:GRU",
            "chunks",
            {"dtypes": ("bfloat16",)},
            "the law does not apply to the selected dtypes",
        ),
    ],
)
def test_says_why_no_case_is_left(target, law, options, reason):
    with pytest.raises(NotApplicable) as caught:
        domain(all_laws()[law], load(target), Options(**options))
    assert str(caught.value) == reason


@settings(max_examples=30)
@given(st.data())
def test_what_a_target_does_not_take_is_as_nn_gru_has_it_by_default(data):
    law = all_laws()["equation"]
    case = data.draw(domain(law, load(OneLayer), Options(dtypes=("float32",))))
    assert (case.num_layers, case.dropout, case.dtype) == (1, 0.0, "float32")
    case = data.draw(domain(law, load(WithoutDropout), Options()))
    assert (case.dropout, case.bias) == (0.0, True)


@settings(max_examples=30)
@given(st.data())
def test_autocast_is_tried_to_what_the_build_casts_to(data):
    """The law "autocast" has no case where nn.GRU runs under autocast to nothing."""
    law, target = all_laws()["autocast"], load(Stack)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("stackgru.engine.select.supported_casts", lambda device: ("bfloat16",))
        assert data.draw(domain(law, target, Options())).autocast == "bfloat16"
        patched.setattr("stackgru.engine.select.supported_casts", lambda device: ())
        with pytest.raises(NotApplicable, match="does not run under autocast on this build"):
            domain(law, target, Options())


def test_a_family_is_selected_by_its_name():
    chosen = select(Options(laws=("transforms", "equation"), skip=("vm*",)))
    assert [law.name for law in chosen] == [
        "equation",
        "functional-call",
        "checkpoint",
        "script",
        "export",
        "compile",
        "trace",
    ]


def test_a_laws_name_goes_before_a_familys():
    assert [law.name for law in select(Options(laws=("gradients",)))] == ["gradients"]


def test_a_family_that_is_nearly_right_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'transforms'"):
        select(Options(laws=("transfroms",)))
