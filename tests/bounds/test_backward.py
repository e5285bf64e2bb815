"""Bounds of derivatives: autograd's derivatives are within them, slightly wrong ones are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from stackgru.bounds.arithmetic import Dual, Number
from stackgru.bounds.backward import Direction, _of_sigmoid, gradients, second_derivatives, tangents
from stackgru.bounds.formats import format_of
from stackgru.bounds.forward import StackInputs
from stackgru.cases.case import Case
from stackgru.cases.tensors import draw_h0, draw_input, draw_weights
from stackgru.gru.parameters import copy_layers, gru_layers

FORM = format_of(torch.float64)
CASES = [
    Case(),
    Case(3, 4, 2, 3, 3),
    Case(7, 20, 3, 5, 4, bias=False),
    Case(5, 9, 2, 2, 2, weights="large"),
    Case(5, 9, 2, 2, 2, weights="zero", state="large"),
    Case(2, 3, 4, 1, 2, input="tiny", state="subnormal"),
]


class Setting:
    """An nn.GRU on a case, its leaves by name, and a random combination and direction."""

    def __init__(self, case, dtype=torch.float64):
        self.gru = nn.GRU(case.input_size, case.hidden_size, case.num_layers, bias=case.bias)
        self.gru.to(dtype)
        layers = gru_layers(self.gru)
        copy_layers(draw_weights(case), layers)
        input, h0 = draw_input(case).to(dtype), draw_h0(case).to(dtype)
        self.stack = StackInputs(input, h0, [_detached(one) for one in layers], None, 1.0, dtype)
        self.leaves = [input.clone().requires_grad_(), h0.clone().requires_grad_()]
        self.leaves += [value for layer in layers for value in layer.values()]
        self.results = self.gru(*self.leaves[:2])
        source = torch.Generator().manual_seed(1)
        self.factors = [_noise(value, source) for value in self.results]
        self.toward = [_noise(leaf, source) for leaf in self.leaves]

    @property
    def direction(self):
        values = iter(self.toward[2:])
        layers = [{name: next(values) for name in layer} for layer in self.stack.layers]
        return Direction(self.toward[0], self.toward[1], layers)

    def gradients(self, **keywords):
        return torch.autograd.grad(self.results, self.leaves, self.factors, **keywords)


def _detached(layer):
    return {name: value.detach() for name, value in layer.items()}


def _noise(like, source):
    return torch.randn(like.shape, dtype=torch.float64, generator=source).to(like.dtype)


def bounded(found):
    """Return the bounded values in the order of the leaves."""
    return [found.input, found.h0, *(value for layer in found.layers for value in layer.values())]


def assert_bounded(actual, expected):
    for value, bound in zip(actual, bounded(expected), strict=True):
        assert value.shape == bound.value.shape
        assert bool(((value.detach().double() - bound.value).abs() <= bound.error).all())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_lie_within_their_bound(case):
    setting = Setting(case)
    found = gradients(setting.stack, *setting.factors)
    assert_bounded(setting.gradients(), found)


def test_the_bound_of_a_gradient_is_sharp():
    """Within a thousand roundings of one step's gradients, so a small fault shows."""
    setting = Setting(Case(3, 4, 1, 2, 1))
    for bound in bounded(gradients(setting.stack, *setting.factors)):
        assert bool((bound.error <= 1000 * FORM.unit * bound.value.abs().max()).all())


@pytest.mark.parametrize("case", CASES[:3], ids=str)
def test_a_gradient_that_is_off_is_outside(case):
    setting = Setting(case)
    found = bounded(gradients(setting.stack, *setting.factors))
    for value, bound in zip(setting.gradients(), found, strict=True):
        off = (value * (1 + 1e-8) - bound.value).abs() > bound.error
        assert bool(off[value != 0].any())


def test_float32_gradients_lie_within_their_bound():
    setting = Setting(Case(5, 6, 2, 3, 2), torch.float32)
    found = gradients(setting.stack, *setting.factors)
    assert_bounded(setting.gradients(), found)
    assert all(bool(bound.error.isfinite().all()) for bound in bounded(found))


def test_masks_scale_what_flows_through_them():
    """With every value dropped, nothing reaches the layer below but through its own hn."""
    case = Case(2, 3, 2, 2, 1)
    setting = Setting(case)
    nothing = torch.zeros(1, 1, 2, 3, dtype=torch.bool)
    masked = replace(setting.stack, masks=nothing, scale=0.0)
    outputs = torch.ones(1, 2, 3)
    found = gradients(masked, outputs, torch.zeros(2, 2, 3))
    assert not bool(found.input.value.any())
    assert not bool(found.layers[0]["weight_hh"].value.any())
    assert bool(found.layers[1]["weight_hh"].value.any())
    scaled, unscaled = (
        gradients(replace(masked, masks=~nothing, scale=scale), outputs, torch.zeros(2, 2, 3))
        for scale in (2.0, 1.0)
    )
    assert not torch.equal(scaled.input.value, unscaled.input.value)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivatives_lie_within_their_bound(case):
    setting = Setting(case)
    first = setting.gradients(create_graph=True)
    second = torch.autograd.grad(first, setting.leaves, setting.toward)
    found = second_derivatives(setting.stack, setting.direction, *setting.factors)
    assert_bounded(second, found)
    assert all(bool(bound.error.isfinite().all()) for bound in bounded(found))


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.skipif(not hasattr(torch, "func"), reason="torch.func came with 2.0")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_tangents_lie_within_their_bound(case):
    setting = Setting(case)
    names = [name for name, _ in setting.gru.named_parameters()]

    def call(input, h0, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(setting.gru, given, (input, h0))

    primals = tuple(leaf.detach() for leaf in setting.leaves)
    _, found = torch.func.jvp(call, primals, tuple(setting.toward))
    for value, bound in zip(found, tangents(setting.stack, setting.direction), strict=True):
        assert bool(((value - bound.value).abs() <= bound.error).all())


def test_nothing_is_claimed_where_exp_may_overflow():
    stack = Setting(Case(state="large", weights="large", hidden_size=8)).stack
    far = replace(stack, h0=stack.h0 * 1e4, dtype=torch.float32)
    found = gradients(far, torch.ones(1, 1, 8), torch.zeros(1, 1, 8))
    assert bool(found.input.error.isinf().all())


@pytest.mark.skipif(not hasattr(torch, "func"), reason="torch.func came with 2.0")
@pytest.mark.parametrize(("a", "toward", "claimed"), [(-88.0, 1e3, False), (-70.0, 1e3, True)])
def test_nothing_is_claimed_of_a_sigmoid_whose_exp_overflows_in_its_tangent(a, toward, claimed):
    given = torch.tensor([a]), torch.tensor([toward])
    _, seen = torch.func.jvp(lambda a: 1 / (1 + torch.exp(-a)), given[:1], given[1:])
    form = format_of(torch.float32)
    # A gate's error as in forward.py: its square may underflow on the way to the slope.
    value = given[0].double().sigmoid()
    known = Number(value, torch.minimum(value, 4 * form.smallest / value), form)
    found = _of_sigmoid(known, Number.exact(given[1], form))
    assert bool(seen.isfinite()) is claimed
    assert bool(found.error.isfinite()) is claimed
    assert not claimed or abs(seen.double() - found.value) <= found.error


def number(value, error=0.0):
    return Number(torch.tensor([[value]]).double(), torch.tensor([[error]]).double(), FORM)


@pytest.mark.parametrize(
    ("result", "value", "error"),
    [
        (number(3.0, 0.25) + number(-2.0, 0.5), 1.0, 0.75),
        (number(3.0, 0.25) - number(-2.0, 0.5), 5.0, 0.75),
        (number(3.0, 0.25) * number(-2.0, 0.5), -6.0, 3 * 0.5 + 2 * 0.25 + 0.125),
        (number(3.0, 0.25) @ number(-2.0, 0.5), -6.0, 3 * 0.5 + 2 * 0.25 + 0.125),
        (number(0.25, 0.125).slope_of_sigmoid(), 0.1875, 0.25 * 0.125 + 0.75 * 0.125 + 0.015625),
        (number(3.0, 0.25).where(torch.tensor([[True]]), 4.0), 12.0, 1.0),
        (number(3.0, 0.25).where(torch.tensor([[False]]), 4.0), 0.0, 0.0),
    ],
    ids=["add", "sub", "mul", "matmul", "slope", "kept", "dropped"],
)
def test_errors_are_carried_on(result, value, error):
    assert result.value.item() == value
    own = result.error.item() - error
    assert 0 <= own <= 32 * FORM.unit * (abs(value) + 8)
    assert own > 0 or value == 0


def test_bfloat16_products_may_lose_subnormal_numbers():
    form = format_of(torch.bfloat16)
    tiny = Number.exact(torch.full((1, 3), form.normal / 2), form)
    one = Number.exact(torch.ones(3, 1), form)
    assert (tiny @ one).error.item() >= 3 * form.normal / 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_sum_of_more_terms_than_a_half_can_tell_apart_stays_inside(dtype):
    """With 1 / u terms or more Higham's gamma is negative."""
    form = format_of(dtype)
    terms = torch.linspace(0.5, 1.0, round(2 / form.unit), dtype=torch.float64).to(dtype)
    found = Number.exact(terms[None], form) @ Number.exact(torch.ones(len(terms), 1), form)
    total = torch.zeros((), dtype=dtype)
    for term in terms:
        total = total + term
    error, size = found.error.item(), terms.double().sum().item()
    assert abs(total.double().item() - found.value.item()) <= error
    assert len(terms) * form.unit * size <= error <= (len(terms) + 16) * form.unit * size


def test_a_dual_number_is_differentiated():
    x, y = Dual(number(3.0), number(1.0)), Dual(number(5.0), number(0.0))
    assert (x * x * y).tangent.value.item() == 30.0
    assert (x @ y).tangent.value.item() == 5.0
    assert (x - y + x).tangent.value.item() == 2.0
    assert (x * x.constant(torch.ones(()))).tangent.value.item() == 1.0


def test_nothing_is_claimed_of_a_number_that_may_overflow():
    half = format_of(torch.float16)
    large = Number(torch.tensor([[3e4]]).double(), torch.zeros(1, 1).double(), half)
    assert (large @ large).error.isinf().all()
    assert large.where(torch.tensor([[True]]), 2.0).error.isinf().all()
    assert large.where(torch.tensor([[True]]), 1.0).error.isfinite().all()
