"""Laws of the layouts that a sequence module offers: batch first, unbatched, packed, both ways."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from stackgru import rounding
from stackgru.cases import generator
from stackgru.evidence import NotApplicable, Violation
from stackgru.finding import find_layers
from stackgru.laws import law
from stackgru.laws.comparing import HN, OUTPUT, expected, pick
from stackgru.loading import TargetError, named
from stackgru.pairs import Pair
from stackgru.rounding import Bounded, allowed
from stackgru.weights import Layer, copy_layers

_FULL = ("float64", "float32")


@law(
    "values",
    {"mode": "eval", "min_batch": 1, "max_batch": 5, "max_steps": 6, "dtypes": _FULL},
    kinds=("sequence",),
    question="conduct",
)
def layouts(pair: Pair) -> None:
    """Batch first, unbatched and packed, sorted or not, a sequence gives what it gives plainly.

    In the input's dtype, for each row of a packed batch up to its own length; where the target
    takes such input.
    """
    tried = [_batch_first(pair), _unbatched(pair), _packed(pair)]
    if not any(tried):
        raise NotApplicable("the target takes neither batch first, unbatched nor packed input")


def _batch_first(pair: Pair) -> bool:
    module = _with_option(pair, "batch_first")
    if module is None:
        return False
    copy_layers(pair.layers, find_layers(module, pair.case, pair.target.name))
    outputs, hn = _result(pair, module, pair.input.transpose(0, 1).contiguous(), pair.h0)
    bound = expected(pair, None)
    batch, steps = pair.input.shape[1], pair.input.shape[0]
    _assert_shape("batch first: output", outputs, (batch, steps, pair.case.hidden_size))
    _assert_tensors(pair, "batch first", outputs.transpose(0, 1), hn, bound.outputs, bound.hn)
    return True


def _unbatched(pair: Pair) -> bool:
    input, h0 = pair.input[:, 0], pair.h0[:, 0]
    try:
        outputs, hn = _result(pair, pair.module, input, h0)
    except Violation:
        if pair.strict:
            raise
        return False
    case = pair.case
    if outputs.shape != (case.seq_len, case.hidden_size):
        return False  # it takes two dimensions for something else
    bound = expected(pair, None, input=pair.input[:, :1], h0=pair.h0[:, :1])
    _assert_shape("unbatched: hn", hn, (case.num_layers, case.hidden_size))
    outputs, hn = outputs.unsqueeze(1), hn.unsqueeze(1)
    _assert_tensors(pair, "unbatched", outputs, hn, bound.outputs, bound.hn)
    return True


def _packed(pair: Pair) -> bool:
    batch, steps = pair.input.shape[1], pair.input.shape[0]
    lengths = [pick(pair, f"length {row}", 1, steps) for row in range(batch)]
    is_sorted = bool(pick(pair, "sorted", 0, 1))
    if is_sorted:
        lengths.sort(reverse=True)
    packed = pack_padded_sequence(pair.input, torch.tensor(lengths), enforce_sorted=is_sorted)
    try:
        outputs, hn = _result(pair, pair.module, packed, pair.h0)
    except Violation:
        if pair.strict:
            raise
        return False
    if not isinstance(outputs, PackedSequence):
        raise Violation(f"packed: output is {type(outputs).__name__}, where nn.GRU's is packed")
    what = "packed" if is_sorted else "packed and not sorted"
    reference, _ = pair.reference(packed, pair.h0)
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        own, other = getattr(outputs, name), getattr(reference, name)
        if (own is None) != (other is None) or (own is not None and not torch.equal(own, other)):
            raise Violation(f"{what}: {name} of the output is not nn.GRU's")
    _assert_shape(f"{what}: hn", hn, tuple(pair.h0.shape))
    padded, _ = nn.utils.rnn.pad_packed_sequence(outputs)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        bound = expected(pair, None, input=pair.input[:length, one], h0=pair.h0[:, one])
        _assert_tensors(
            pair,
            f"{what}, row {row} of length {length}",
            padded[:length, one],
            hn[:, one],
            bound.outputs,
            bound.hn,
        )
    return True


@law(
    "values",
    {"min_batch": 1, "max_batch": 4, "max_steps": 4, "max_layers": 3, "dtypes": _FULL},
    kinds=("sequence",),
)
def bidirectional(pair: Pair) -> None:
    """Built bidirectional, output and hn are those of a bidirectional nn.GRU, in eval."""
    module = _with_option(pair, "bidirectional")
    if module is None:
        raise NotApplicable("the target's constructor takes no bidirectional")
    module.eval()
    case = pair.case
    layers = find_layers(module, case, pair.target.name, directions=2)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            for name, parameter in layer.items():
                scale = 0.5 if parameter.dim() == 1 else parameter.shape[1] ** -0.5
                parameter.copy_(_noise(pair, f"{name} {index}", parameter.shape) * scale)
    shape = (2 * case.num_layers, case.batch, case.hidden_size)
    h0 = _noise(pair, "h0", shape)
    outputs, hn = _result(pair, module, pair.input, h0)
    _assert_shape("output", outputs, (case.seq_len, case.batch, 2 * case.hidden_size))
    _assert_shape("hn", hn, shape)
    _assert_tensors(pair, "bidirectional", outputs, hn, *_both_ways(pair, layers, h0))


def _both_ways(pair: Pair, layers: Sequence[Layer], h0: Tensor) -> tuple[Bounded, Bounded]:
    """Return the outputs (T, B, 2 H) and hn (2 L, B, H) of layers forward and back."""
    dtype, steps = pair.case.torch_dtype, pair.case.seq_len
    below, last = [Bounded.exact(x) for x in pair.input], []
    for index in range(0, len(layers), 2):
        ways = []
        for way, order in enumerate((range(steps), reversed(range(steps)))):
            state = Bounded.exact(h0[index + way])
            states = {}
            for step in order:
                state = rounding.layer(below[step], state, layers[index + way], dtype)
                states[step] = state
            last.append(state)
            ways.append(states)
        below = [_beside(ways[0][step], ways[1][step]) for step in range(steps)]
    return rounding.stacked(below), rounding.stacked(last)


def _beside(one: Bounded, other: Bounded) -> Bounded:
    values, errors = (one.value, other.value), (one.error, other.error)
    return Bounded(torch.cat(values, -1), torch.cat(errors, -1))


def _with_option(pair: Pair, name: str) -> nn.Module | None:
    """Build the target with an option of nn.GRU's, or return None where it has none such."""
    if name not in pair.target.options:
        return None
    try:
        return pair.target.build(pair.case, **{name: True})
    except TargetError as error:
        if pair.strict:
            raise Violation(str(error)) from error
        return None


def _result(pair: Pair, module: nn.Module, *arguments: Any) -> tuple[Any, Tensor]:
    """Call a module; its output may be packed."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs, hn = module(*arguments)
    except Exception as error:
        raise Violation(f"the target raised {named(error)}; nn.GRU gives a result") from error
    data = outputs.data if isinstance(outputs, PackedSequence) else outputs
    for name, value in (("output", data), ("hn", hn)):
        if not isinstance(value, Tensor):
            raise Violation(f"{name} is {type(value).__name__}, where nn.GRU's is a tensor")
        if value.dtype != pair.case.torch_dtype:
            raise Violation(f"{name} is {value.dtype}, where nn.GRU's is {pair.case.torch_dtype}")
    return outputs, hn


def _assert_shape(what: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise Violation(f"{what} has shape {tuple(value.shape)}, where nn.GRU's is {shape}")


def _assert_tensors(
    pair: Pair, what: str, outputs: Tensor, hn: Tensor, outputs_bound: Bounded, hn_bound: Bounded
) -> None:
    """Raise a violation where results are further from the equation's than rounding puts them."""
    __tracebackhide__ = True
    dtype = pair.case.torch_dtype
    error = allowed(outputs_bound, dtype)
    pair.within(outputs, outputs_bound.value, error, f"{what}: output", OUTPUT)
    pair.within(hn, hn_bound.value, allowed(hn_bound, dtype), f"{what}: hn", HN)


def _noise(pair: Pair, name: str, shape: Sequence[int]) -> Tensor:
    source = generator(pair.case, f"both ways {name}")
    return torch.randn(shape, dtype=torch.float64, generator=source).to(pair.input)
