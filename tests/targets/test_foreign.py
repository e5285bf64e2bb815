"""Foreign targets: what is evaluated outside torch is judged as far as it goes."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

import stackgru
from stackgru.diagnosis.search import diagnose
from stackgru.engine.collect import collect_runs
from stackgru.engine.run import LawRun
from stackgru.harness.activations import activations_of
from stackgru.laws.registry import all_laws
from stackgru.options import Options, UsageError
from stackgru.targets.convention import Convention
from stackgru.targets.foreign import ABILITIES, OutsideTorch
from stackgru.targets.target import load

np = pytest.importorskip("numpy")


class InNumPy(stackgru.Foreign):
    """nn.GRU's equation in NumPy."""

    dtypes = ("float32", "float64")

    def evaluate(self, weights, input, h0):
        ways, last, below = 1 + self.bidirectional, [], input
        for layer in range(0, len(weights), ways):
            outputs = []
            for way in range(ways):
                steps = below[::-1] if way else below
                states = self.over_time(steps, h0[layer + way], **weights[layer + way])
                last.append(states[-1])
                outputs.append(states[::-1] if way else states)
            below = np.concatenate(outputs, -1)
        return below, np.stack(last)

    def over_time(self, x, h, weight_ih, weight_hh, bias_ih=0.0, bias_hh=0.0):
        outputs = []
        for step in x:
            x_r, x_z, x_n = np.split(step @ weight_ih.T + bias_ih, 3, -1)
            h_r, h_z, h_n = np.split(h @ weight_hh.T + bias_hh, 3, -1)
            r, z = self.sigmoid(x_r + h_r), self.sigmoid(x_z + h_z)
            n = self.candidate(x_n, r, h_n)
            h = (1 - z) * n + z * h
            outputs.append(h)
        return np.stack(outputs)

    def sigmoid(self, sums):
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-sums))

    def candidate(self, x_n, r, h_n):
        return np.tanh(x_n + r * h_n)


class WithoutEmptyBatches(InNumPy):
    """It cannot evaluate an empty batch, and says so."""

    lacks = InNumPy.lacks | {"empty batches"}

    def evaluate(self, weights, input, h0):
        if not input.shape[1]:
            raise SystemExit("aborted")
        return super().evaluate(weights, input, h0)


class ResetOverAll(InNumPy):
    """The reset gate multiplies all of the candidate's sum."""

    def candidate(self, x_n, r, h_n):
        return np.tanh(r * (x_n + h_n))


class DrawsNumbers(InNumPy):
    """A call draws from torch's generator."""

    def evaluate(self, weights, input, h0):
        torch.rand(1)
        return super().evaluate(weights, input, h0)


def result_of(factory, law, examples=20):
    run = LawRun(load(factory), all_laws()[law], Options(max_examples=examples, seed=1))
    run.attempt()
    return run.result


#: Laws that are tried in every run, of those that others than the bundled targets show least of.
ALWAYS = ("empty-batch", "hooks", "inherited", "layouts", "bidirectional", "replaced", "drop-in")


@pytest.mark.parametrize(
    "law",
    [pytest.param(law, marks=[pytest.mark.nightly] * (law not in ALWAYS)) for law in all_laws()],
)
def test_what_is_right_is_not_accused(law):
    result = result_of(InNumPy, law, 10)
    assert result.status in ("holds", "refused", "not applicable"), result
    if result.status == "not applicable" and "evaluated outside torch" in result.reason:
        assert all_laws()[law].abilities & InNumPy.lacks


@pytest.mark.parametrize("law", ["equation", "unrolled", "magnitudes", "rows", "purity"])
def test_what_can_be_tried_is_tried(law):
    assert result_of(InNumPy, law).status == "holds"


@pytest.mark.parametrize("law", ["gradients", "second-derivatives", "compile", "autocast"])
def test_what_it_lacks_does_not_apply(law):
    result = result_of(InNumPy, law)
    assert result.status == "not applicable"
    assert result.reason.startswith("evaluated outside torch, without ")


def test_a_law_is_tried_as_far_as_it_goes():
    assert result_of(InNumPy, "purity").reason == (
        "as far as it is evaluated outside torch: there are no gradients"
    )
    assert result_of(DrawsNumbers, "no-draws").status == "violated"


class SaysSo(stackgru.StackingGRUCell):
    """It is evaluated in torch, and says otherwise."""

    def forward(self, input, h0=None):
        if self.training:
            raise OutsideTorch("not in training")
        return super().forward(input, h0)


def test_only_foreign_targets_can_say_so():
    assert result_of(SaysSo, "same-draws").status == "violated"


@pytest.mark.parametrize("law", ["equation", "stateless", "no-draws", "empty-batch"])
def test_an_empty_batch_is_not_evaluated_if_it_cannot_be(law):
    result = result_of(WithoutEmptyBatches, law)
    assert result.status == ("not applicable" if law == "empty-batch" else "holds")


def test_a_variant_is_named():
    of_candidate = "the reset gate applied to all of the candidate's sum"
    assert diagnose(load(ResetOverAll)).variants == (of_candidate,)
    assert diagnose(load(InNumPy)).variants == ()


def test_it_is_built_and_called_as_nn_gru_is():
    own = InNumPy(3, 4, 2, bidirectional=True, batch_first=True)
    gru = nn.GRU(3, 4, 2, bidirectional=True, batch_first=True)
    gru.load_state_dict(own.state_dict())
    x = torch.randn(5, 7, 3)
    for results, others in zip(own(x), gru(x), strict=True):
        torch.testing.assert_close(results, others)
    torch.testing.assert_close(own(x[0])[0], gru(x[0])[0])
    again = pickle.loads(pickle.dumps(own))
    assert torch.equal(again(x)[0], own(x)[0])


@pytest.mark.parametrize(
    ("input", "h0", "text"),
    [
        (torch.zeros(5, 7, 2), None, r"input must be \(\.\.\., 3\), got \(5, 7, 2\)"),
        (torch.zeros(5, 7, 3), torch.zeros(1, 6, 4), r"h0 must be \(1, 7, 4\), got \(1, 6, 4\)"),
        (torch.zeros(5, 7, 3).half(), None, "it computes in float32, float64, not in float16"),
    ],
)
def test_what_it_cannot_take_is_told(input, h0, text):
    with pytest.raises((ValueError, OutsideTorch), match=text):
        InNumPy(3, 4)(input, h0)


def test_there_are_no_gradients():
    output, _ = InNumPy(3, 4)(torch.zeros(5, 7, 3))
    with pytest.raises(OutsideTorch, match="there are no gradients"):
        output.sum().backward()


class DoubleOnly(InNumPy):
    """It computes in float64 alone, and gives views that lie backward."""

    dtypes = ("float64",)

    def evaluate(self, weights, input, h0):
        output, hn = super().evaluate(weights, input, h0)
        return output[::-1].copy()[::-1], hn[::-1].copy()[::-1]


def test_any_dtype_and_layout_of_arrays_will_do():
    assert result_of(DoubleOnly, "one-step").status == "holds"
    assert result_of(DoubleOnly, "dtypes").status == "refused"


class MakesTensors(InNumPy):
    """It builds what it needs of tensors, which a law that watches calls must not see."""

    def evaluate(self, weights, input, h0):
        assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
        return super().evaluate(weights, input, h0)


@pytest.mark.parametrize("law", ["strided", "mode-matters"])
def test_calls_are_not_watched_while_it_evaluates(law):
    assert result_of(MakesTensors, law, 5).status == "holds"


def test_what_is_lacking_is_an_ability():
    assert set(ABILITIES) >= stackgru.Foreign.lacks
    assert set(ABILITIES) >= {one for law in all_laws().values() for one in law.abilities}
    with pytest.raises(UsageError, match="did you mean 'gradients'"):
        type("Misspelt", (InNumPy,), {"lacks": frozenset({"gradient"})})


class RoughTanh(InNumPy):
    """Its tanh is off by 2e-7, and zero for what is small."""

    def candidate(self, x_n, r, h_n):
        n = super().candidate(x_n, r, h_n)
        return np.where(abs(n) < 1e-9, 0, n + np.sign(n) * n.dtype.type(2e-7))


class Flushes(RoughTanh):
    """Subnormal numbers are zero for it as well."""

    def evaluate(self, weights, input, h0):
        least = np.finfo(h0.dtype).tiny
        flushed = np.where(abs(h0) < least, 0, h0)
        return super().evaluate(weights, input, flushed.astype(h0.dtype))


class FlushesWeights(InNumPy):
    """Subnormal weights are zero for it, and nothing else is."""

    def evaluate(self, weights, input, h0):
        least = np.finfo(h0.dtype).tiny
        own = [{k: np.where(abs(v) < least, 0, v) for k, v in one.items()} for one in weights]
        return super().evaluate(own, input, h0)


def test_a_rough_tanh_is_not_taken_for_numbers_that_vanish():
    assert not activations_of(load(RoughTanh)).flushes
    assert not activations_of(load(InNumPy)).flushes
    assert activations_of(load(Flushes)).flushes
    assert activations_of(load(FlushesWeights)).flushes


class FewRows(Flushes):
    """It takes so many rows and no more."""

    def evaluate(self, weights, input, h0):
        if input.shape[1] > 2000:
            raise ValueError("too many rows")
        return super().evaluate(weights, input, h0)


def test_activations_are_measured_few_rows_at_a_time():
    assert activations_of(load(FewRows)) == activations_of(load(Flushes))


@pytest.mark.parametrize("stated", [{"activation_error": 5e-7}, {"flush_to_zero": True}, {}])
def test_its_arithmetic_is_measured_where_it_is_not_stated(stated):
    options = Options(laws=("equation",), max_examples=1)
    convention = collect_runs(Convention(Flushes, **stated), options)[0].target.convention
    assert convention.flush_to_zero
    assert convention.activation_error == pytest.approx(stated.get("activation_error", 2e-7), 0.5)


def test_dtypes_that_numpy_lacks_are_told():
    with pytest.raises(UsageError, match=r"Half.dtypes must be one of .*float16.*'bfloat16'"):
        type("Half", (InNumPy,), {"dtypes": ("float32", "bfloat16")})


class GivesOutputAlone(InNumPy):
    def evaluate(self, weights, input, h0):
        return super().evaluate(weights, input, h0)[0]


class WritesToWhatItIsGiven(InNumPy):
    def evaluate(self, weights, input, h0):
        results = super().evaluate(weights, input, h0)
        for one in (input, h0, *(value for layer in weights for value in layer.values())):
            one[:] = 0
        return results


def test_what_evaluate_must_return_is_told():
    with pytest.raises(TypeError, match="evaluate must return output and hn, got a ndarray"):
        GivesOutputAlone(2, 3)(torch.zeros(1, 1, 2))


def test_what_evaluate_is_given_is_its_own():
    module, input, h0 = WritesToWhatItIsGiven(2, 3), torch.rand(4, 1, 2), torch.rand(1, 1, 3)
    output, _ = module(input, h0)
    torch.testing.assert_close(module(input, h0)[0], output, rtol=0, atol=0)
    assert input.all()
    assert h0.all()
