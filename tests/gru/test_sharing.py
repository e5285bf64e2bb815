"""Stacks as nn.GRU and back: shared parameters, nn.GRU's results, and copies between stacks."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from hypothesis import assume, given, settings
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from stackgru import RefusedArgument, StackingGRUCell, as_cells, as_gru, copy_weights
from stackgru.cases.strategies import cases
from stackgru.cases.tensors import draw_h0, draw_input
from stackgru.gru.parameters import gru_layers
from stackgru.targets.probe import supported_dtypes
from tests import FULL

#: An example builds and runs several modules.
FEWER = settings(max_examples=100 if FULL else 25)


def built(case, seed=None):
    """Return a stack for a case."""
    torch.manual_seed(case.seed % 2**31 if seed is None else seed)
    stack = StackingGRUCell(
        case.input_size, case.hidden_size, case.num_layers, float(case.dropout), case.bias
    )
    return stack.to(case.torch_dtype).train(case.mode == "train")


def tensors(case):
    return draw_input(case), draw_h0(case)


def seeded(call, *arguments):
    """Return what a call gives from a fixed seed, and the next random number."""
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return *call(*arguments), torch.rand(1)


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@FEWER
@given(cases(dtypes=supported_dtypes()))
def test_they_share_their_parameters(case):
    stack = built(case)
    gru = as_gru(stack)
    own, shared = list(stack.parameters()), list(gru.parameters())
    assert all(one is other for one, other in zip(own, shared, strict=True))
    back = as_cells(gru)
    assert all(one is other for one, other in zip(own, back.parameters(), strict=True))
    assert repr(back) == repr(stack)
    assert (back.training, gru.training) == (stack.training, stack.training)
    assert list(back.state_dict()) == list(stack.state_dict())


@FEWER
@given(cases(dtypes=supported_dtypes()))
def test_unrolled_it_is_nn_gru_bit_by_bit(case):
    stack = built(case)
    input, h0 = tensors(case)
    for batch_first in (False, True):
        gru = as_gru(stack, batch_first=batch_first)
        x = input.transpose(0, 1) if batch_first else input
        assert_same(seeded(stack.unroll, x, h0, batch_first), seeded(gru, x, h0))
    assume(case.batch)
    for arguments in ((input[:, 0], h0[:, 0]), (input,)):
        assert_same(seeded(stack.unroll, *arguments), seeded(as_gru(stack), *arguments))


@FEWER
@given(cases(min_batch=1, dtypes=supported_dtypes()))
def test_packed_it_is_nn_gru_bit_by_bit(case):
    stack = built(case)
    input, h0 = tensors(case)
    lengths = [1 + (case.seed + row) % case.seq_len for row in range(case.batch)]
    for is_sorted in (False, True):
        if is_sorted:
            lengths.sort(reverse=True)
        packed = pack_padded_sequence(input, torch.tensor(lengths), enforce_sorted=is_sorted)
        for state in (h0, None):
            output, *found = seeded(stack.unroll, packed, state)
            right, *others = seeded(as_gru(stack), packed, state)
            assert isinstance(output, PackedSequence)
            for one, other in zip((*output, *found), (*right, *others), strict=True):
                assert one is other is None or torch.equal(one.nan_to_num(), other.nan_to_num())


@FEWER
@given(cases(min_batch=1, dtypes=supported_dtypes()))
def test_gradients_are_those_of_nn_gru(case):
    stack = built(case)
    twin = copy.deepcopy(stack)
    input, h0 = tensors(case)
    grads = []
    for module, call in ((stack, stack.unroll), (twin, as_gru(twin))):
        leaves = [input.clone().requires_grad_(), h0.clone().requires_grad_()]
        output, hn, _ = seeded(call, *leaves)
        (output.sum() + (hn * hn).sum()).backward()
        grads.append([leaf.grad for leaf in (*leaves, *module.parameters())])
    assert_same(*grads)


@FEWER
@given(cases(min_batch=1, seq_len=1, dtypes=["float64", "float32"]))
def test_a_step_of_an_optimiser_is_seen_by_both(case):
    stack = built(case)
    gru = as_gru(stack)
    input, h0 = tensors(case)
    before = [parameter.detach().clone() for parameter in stack.parameters()]
    optimiser = torch.optim.SGD(gru.parameters(), lr=0.5)
    output, hn, _ = seeded(gru, input, h0)
    (output.sum() + hn.sum()).backward()
    optimiser.step()
    for one, other, old in zip(stack.parameters(), gru.parameters(), before, strict=True):
        assert_same(one.detach(), old.add(other.grad, alpha=-0.5))
        assert one.grad is other.grad
    assert_same(seeded(stack.unroll, input, h0), seeded(gru, input, h0))


@pytest.mark.parametrize("cast", ["double", "half", "bfloat16"])
@pytest.mark.parametrize("which", ["stack", "gru"])
def test_a_cast_of_one_casts_both(cast, which):
    stack = StackingGRUCell(3, 4, 2)
    gru = as_gru(stack)
    getattr({"stack": stack, "gru": gru}[which], cast)()
    pairs = list(zip(stack.parameters(), gru.parameters(), strict=True))
    assert all(one is other for one, other in pairs)
    dtype = next(stack.parameters()).dtype
    assert dtype != torch.float32
    if str(dtype).removeprefix("torch.") in supported_dtypes():
        x = torch.ones(2, 1, 3, dtype=dtype)
        assert torch.equal(stack.unroll(x)[0], gru(x)[0])


def test_loading_into_one_loads_both():
    stack, other = StackingGRUCell(3, 4, 2), StackingGRUCell(3, 4, 2)
    gru = as_gru(stack)
    stack.load_state_dict(other.state_dict())
    assert torch.equal(gru.weight_hh_l1, other.grus[1].weight_hh)


def test_a_copy_and_the_meta_device_end_the_sharing():
    stack = StackingGRUCell(3, 4, 2)
    gru = as_gru(stack)
    assert copy.deepcopy(gru).weight_ih_l0 is not stack.grus[0].weight_ih
    both = copy.deepcopy(nn.ModuleList([stack, gru]))
    assert both[1].weight_ih_l0 is both[0].grus[0].weight_ih
    gru.to("meta")
    assert stack.grus[0].weight_ih.device.type == "cpu"


def test_conversion_draws_no_random_number():
    stack = StackingGRUCell(3, 4, 2)
    before = torch.get_rng_state()
    as_cells(as_gru(stack))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rate_of_a_single_layer_is_kept():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gru = as_gru(StackingGRUCell(3, 4, 1, 0.5))
    assert gru.dropout == 0.5
    assert as_cells(gru).dropout.p == 0.5


KINDS = {
    "stack": lambda *sizes: StackingGRUCell(*sizes),
    "gru": lambda *sizes: nn.GRU(*sizes),
    "list": lambda *sizes: list(StackingGRUCell(*sizes).grus),
    "module list": lambda *sizes: nn.ModuleList(StackingGRUCell(*sizes).grus),
}


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_weights_are_copied_between_any_two(source, target):
    old, new = KINDS[source](3, 4, 2), KINDS[target](3, 4, 2)
    copy_weights(old, new)
    one, other = StackingGRUCell(3, 4, 2), StackingGRUCell(3, 4, 2)
    copy_weights(old, one)
    copy_weights(new, other)
    x, h0 = torch.ones(1, 3), torch.ones(2, 1, 4)
    assert torch.equal(one(x, h0)[1], other(x, h0)[1])
    copied = gru_layers(new)[1] if target == "gru" else dict(list(other.grus)[1].named_parameters())
    assert all(value.requires_grad for value in copied.values())


def test_a_copy_is_in_the_targets_dtype():
    old, new = nn.GRU(3, 4).double(), StackingGRUCell(3, 4)
    copy_weights(old, new)
    assert torch.equal(new.grus[0].weight_ih, old.weight_ih_l0.float())


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (nn.GRU(3, 4, 2), StackingGRUCell(3, 4, 3), "source has 2 layers and target 3"),
        (
            nn.GRU(3, 4),
            StackingGRUCell(2, 4),
            r"weight_ih of layer 0: source has \(12, 3\), target has \(12, 2\)$",
        ),
        (
            nn.GRU(3, 4, bias=False),
            StackingGRUCell(3, 4),
            r"bias_ih of layer 0: source has none, target has \(12,\); bias_hh of layer 0",
        ),
        (nn.GRU(3, 4, bidirectional=True), StackingGRUCell(3, 4), "source is bidirectional"),
        (StackingGRUCell(3, 4), [], "target has no layer"),
    ],
)
def test_what_does_not_match_is_named_and_nothing_copied(source, target, said):
    before = [p.detach().clone() for p in getattr(target, "parameters", list)()]
    with pytest.raises(ValueError, match=said):
        copy_weights(source, target)
    after = getattr(target, "parameters", list)()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: copy_weights([nn.LSTMCell(3, 4)], nn.GRU(3, 4)),
            "list of nn.GRUCell, not of LSTMCell",
        ),
        (lambda: as_gru(nn.GRU(3, 4)), "takes a StackingGRUCell, got GRU"),
        (lambda: as_cells(nn.LSTM(3, 4)), "takes an nn.GRU, got LSTM"),
    ],
)
def test_other_modules_are_refused(call, said):
    with pytest.raises(TypeError, match=said):
        call()


def test_cells_that_differ_in_dtype_are_refused():
    stack = StackingGRUCell(3, 4, 2)
    stack.grus[1].double()
    with pytest.raises(ValueError, match=r"one dtype.* weight_hh of layer 1 torch\.float64"):
        as_gru(stack)
    with pytest.raises(ValueError, match="gru is bidirectional"):
        as_cells(nn.GRU(3, 4, bidirectional=True))


@pytest.mark.parametrize(
    ("x", "h0", "said"),
    [
        (torch.ones(3), None, r"or \(steps, 3\), got \(3,\)"),
        (torch.ones(2, 1, 4), None, r"\(steps, batch, 3\) with at least one step.*got \(2, 1, 4\)"),
        (torch.ones(0, 1, 3), None, r"got \(0, 1, 3\)"),
        (torch.ones(2, 4), None, r"got \(2, 4\)"),
        (torch.ones(2, 1, 3), torch.ones(2, 4), r"\) = \(2, 1, 4\), got \(2, 4\)"),
        (torch.ones(2, 3), torch.ones(2, 5), r"hidden_size\) = \(2, 4\), got \(2, 5\)"),
        (torch.ones(2, 3), torch.ones(2, 1, 4), r"hidden_size\) = \(2, 4\), got \(2, 1, 4\)"),
        (torch.ones(2, 1, 3).double(), None, r"input must be torch\.float32"),
        (torch.ones(2, 1, 3), torch.ones(2, 1, 4).double(), r"h0 must be torch\.float32"),
    ],
)
def test_unroll_refuses_what_nn_gru_refuses(x, h0, said):
    stack = StackingGRUCell(3, 4, 2)
    with pytest.raises(RefusedArgument, match=said):
        stack.unroll(x, h0)
    with pytest.raises((RuntimeError, ValueError)):
        as_gru(stack)(x, h0)


def test_packed_data_of_another_width_are_refused():
    packed = pack_padded_sequence(torch.ones(2, 1, 4), torch.tensor([2]))
    with pytest.raises(RefusedArgument, match=r"\(all steps, 3\), got \(2, 4\)"):
        StackingGRUCell(3, 4).unroll(packed)
