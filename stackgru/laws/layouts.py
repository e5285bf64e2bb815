"""Laws of the forms of input: batch first, unbatched, packed, bidirectional, an empty batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded, allowed
from stackgru.cases.case import FORMS
from stackgru.gru.parameters import Layer
from stackgru.harness.pair import Pair, TargetRaised, plain, raised_text
from stackgru.harness.reference import Expected, expected
from stackgru.laws.helpers.values import HN, OUTPUT, normal, unroll
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated
from stackgru.targets.adapter import ConventionMismatch
from stackgru.targets.importing import TargetError, describe_error


@law(
    "values",
    {
        "mode": "eval",
        "min_batch": 1,
        "max_batch": 5,
        "max_steps": 6,
        "dtypes": FULL_PRECISION,
        "forms": FORMS,
        "choices": ("batch_first", "form", "lengths"),
    },
    kinds=("sequence",),
    question="conduct",
)
def layouts(pair: Pair) -> None:
    """A sequence gives the same results batch first, unbatched and packed, sorted or not.

    In the input's dtype, for each row of a packed batch up to its own length; as far as the target
    accepts such input.
    """
    case, module = pair.case, pair.module
    if case.form == "unbatched":
        _unbatched(pair, module)
    elif case.form != "plain":
        _packed(pair, module)
    elif case.batch_first:
        _batch_first(pair, module)


class Refused(Exception):
    """The target raised, but nn.GRU gives a result."""


def _batch_first(pair: Pair, module: nn.Module) -> None:
    try:
        outputs, hn = called(module, pair.input.transpose(0, 1).contiguous(), pair.h0)
    except Refused as error:
        raise Violated(f"batch first: {error}") from error
    case = pair.case
    pair.checked("batch first: output", outputs, (case.batch, case.seq_len, case.hidden_size))
    assert_results(pair, "batch first", outputs.transpose(0, 1), hn, expected(pair, None))


def _unbatched(pair: Pair, module: nn.Module) -> None:
    case = pair.case
    try:
        outputs, hn = called(module, pair.input[:, 0], pair.h0[:, 0])
    except Refused as error:
        pair.refuse(f"unbatched: {error}")
        return
    shape = (case.seq_len, case.hidden_size)
    one_row = (shape[0], 1, shape[1])
    # With one input a step's row of numbers may have been taken for as many rows.
    shapes = (shape,) if case.input_size == 1 else (shape, one_row)
    if not isinstance(outputs, Tensor) or outputs.shape not in shapes:
        pair.refuse("unbatched: two dimensions mean something else to the target")
        return
    pair.checked("unbatched: output", outputs, shape)
    pair.checked("unbatched: hn", hn, (case.num_layers, case.hidden_size))
    bound = expected(pair, None, input=pair.input[:, :1], h0=pair.h0[:, :1])
    assert_results(pair, "unbatched", outputs.unsqueeze(1), hn.unsqueeze(1), bound)


def _packed(pair: Pair, module: nn.Module) -> None:
    def bound_of(input: Tensor, h0: Tensor) -> Expected:
        return expected(pair, None, input=input, h0=h0)

    _assert_packed(pair, module, pair.h0, bound_of)


def _assert_packed(
    pair: Pair, module: nn.Module, h0: Tensor, bound_of: Callable[[Tensor, Tensor], Expected]
) -> bool:
    """Raise a violation if packed rows are not what each gives alone; return False if refused.

    Args:
        pair: the pair.
        module: the target, in one direction or both.
        h0: its state, in the order of the rows.
        bound_of: returns the expected results of a row's input and state.
    """
    lengths, is_sorted = pair.case.row_lengths, pair.case.form == "packed-sorted"
    what = "packed" if is_sorted else "packed, not sorted"
    packed = pack_padded_sequence(pair.input, torch.tensor(lengths), enforce_sorted=is_sorted)
    try:
        outputs, hn = called(module, packed, h0)
    except Refused as error:
        pair.refuse(f"{what}: {error}")
        return False
    if not isinstance(outputs, PackedSequence):
        raise Violated(f"{what}: output: got {type(outputs).__name__}, expected PackedSequence")
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        own, other = getattr(outputs, name), getattr(packed, name)
        if (own is None) != (other is None) or (own is not None and not torch.equal(own, other)):
            raise Violated(f"{what}: {name} of output: got {own}, expected the input's {other}")
    padded, _ = pad_packed_sequence(outputs)
    pair.checked(f"{what}: hn", hn, tuple(h0.shape))
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        bound = bound_of(pair.input[:length, one], h0[:, one])
        about = f"{what}, row {row} of length {length}"
        assert_results(pair, about, padded[:length, one], hn[:, one], bound)
    return True


@law(
    "values",
    {
        "min_batch": 1,
        "max_batch": 4,
        "max_steps": 4,
        "max_layers": 3,
        "dtypes": FULL_PRECISION,
        "forms": [form for form in FORMS if form != "unbatched"],
        "choices": ("form", "lengths"),
    },
    kinds=("sequence",),
    question="conduct",
)
def bidirectional(pair: Pair) -> None:
    """Built bidirectional, in eval, output and hn are those of a bidirectional nn.GRU.

    For plain input, and for packed input if the target accepts it.
    """
    module = _with_option(pair, "bidirectional")
    if module is None:
        raise NotApplicable("the target's constructor has no argument bidirectional")
    module.eval()
    case = pair.case
    layers = pair.target.weights(module, case, directions=2).layers
    with torch.no_grad():
        for index, layer in enumerate(layers):
            for name, parameter in layer.items():
                scale = 0.5 if parameter.dim() == 1 else parameter.shape[1] ** -0.5
                parameter.copy_(normal(pair, f"both ways {name} {index}", parameter.shape) * scale)
    shape = (2 * case.num_layers, case.batch, case.hidden_size)
    h0 = normal(pair, "both ways h0", shape)

    def bound_of(input: Tensor, h0: Tensor) -> Expected:
        return both_ways(layers, input, h0, case.torch_dtype)

    if case.form != "plain" and _assert_packed(pair, module, h0, bound_of):
        return
    try:
        outputs, hn = called(module, pair.input, h0)
    except Refused as error:
        raise Violated(f"bidirectional: {error}") from error
    assert_results(pair, "bidirectional", outputs, hn, bound_of(pair.input, h0))


@law("values", {"max_batch": 0, "max_steps": 3}, decides="edge inputs")
def empty_batch(pair: Pair) -> None:
    """An empty batch gives empty results of nn.GRU's shapes and dtypes, and draws nothing.

    A backward pass through it gives no gradients other than zeros.
    """
    input, h0 = pair.input.clone().requires_grad_(), pair.h0.clone().requires_grad_()
    pair.seed()
    before = pair.generator_state()
    with torch.enable_grad():
        try:
            run = unroll(pair, input, h0)
        except TargetRaised as error:
            pair.refuse(str(error))
            return
        if not torch.equal(before, pair.generator_state()):
            raise Violated("torch's generator changed its state for an empty batch")
        try:
            (run.outputs.sum() + run.hn.sum()).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise Violated(
                f"a backward pass through an empty batch raised {describe_error(error)}"
            ) from error
    for name, tensor in {**pair.weights.leaves, "input": input, "h0": h0}.items():
        if tensor.grad is not None and bool(tensor.grad.any()):
            what = f"gradient of {name} for an empty batch"
            raise Violated(f"{what}: got nonzero values, expected zeros")


def both_ways(layers: Sequence[Layer], input: Tensor, h0: Tensor, dtype: torch.dtype) -> Expected:
    """Return outputs (T, B, 2 H) and hn (2 L, B, H) of bidirectional layers."""
    below, last = [Bounded.exact(x) for x in input], []
    steps = range(len(below))
    for index in range(0, len(layers), 2):
        ways = []
        for way, order in enumerate((steps, reversed(steps))):
            state = Bounded.exact(h0[index + way])
            states = {}
            for step in order:
                state = rounding.layer(below[step], state, layers[index + way], dtype)
                states[step] = state
            last.append(state)
            ways.append(states)
        below = [_beside(ways[0][step], ways[1][step]) for step in steps]
    return Expected(rounding.stacked(below), rounding.stacked(last))


def _beside(one: Bounded, other: Bounded) -> Bounded:
    values, errors = (one.value, other.value), (one.error, other.error)
    return Bounded(torch.cat(values, -1), torch.cat(errors, -1))


def _with_option(pair: Pair, name: str) -> nn.Module | None:
    """Build the target with an option of nn.GRU's; return None if it has no such option."""
    if name not in pair.target.options:
        return None
    try:
        return pair.target.build(pair.case, **{name: True})
    except TargetError as error:
        if pair.strict:
            raise Violated(str(error)) from error
        return None


def called(module: nn.Module, *arguments: Any, **keywords: Any) -> tuple[Any, Any]:
    """Call a module with arguments that nn.GRU accepts."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs, hn = module(*arguments, **keywords)
    except ConventionMismatch as error:
        raise Refused(str(error)) from error
    except Exception as error:
        raise Refused(raised_text(error)) from error
    outputs, hn = (plain(one) if isinstance(one, Tensor) else one for one in (outputs, hn))
    return outputs, hn


def assert_results(pair: Pair, what: str, outputs: Any, hn: Any, bound: Expected) -> None:
    """Raise a violation if results differ from the equation's by more than rounding."""
    __tracebackhide__ = True
    for name, value, right, axes in (
        ("output", outputs, bound.outputs, OUTPUT),
        ("hn", hn, bound.hn, HN),
    ):
        pair.checked(f"{what}: {name}", value, tuple(right.value.shape))
        error = allowed(right, pair.case.torch_dtype)
        pair.within(value, right.value, error, f"{what}: {name}", axes)
