"""The law of drop-in: a sequence module is built, called and loaded as nn.GRU is."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.bounds.rounding import Bounded, allowed
from stackgru.cases.case import Case
from stackgru.harness.masks import Recorder
from stackgru.harness.pair import Pair, plain, raised_text
from stackgru.harness.reference import Expected, expected
from stackgru.laws.helpers.values import HN, OUTPUT
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import Violated
from stackgru.targets.adapter import ConventionMismatch, adapt, own_module
from stackgru.targets.importing import RAISED, TargetError, describe_error, with_article

#: Arguments by position, and by name.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@law(
    "conduct",
    {
        "mode": "eval",
        "min_batch": 1,
        "max_batch": 3,
        "max_steps": 4,
        "max_layers": 3,
        "dtypes": FULL_PRECISION,
        "choices": ("batch_first",),
    },
    kinds=("sequence",),
    question="drop-in",
    decides="drop-in",
    share=0.2,
)
def drop_in(pair: Pair) -> None:
    """A sequence is built, called and loaded as nn.GRU is, by position and by name.

    With nn.GRU's defaults; its state_dict has the names, shapes and order of nn.GRU's, and each
    loads the other's. A seed gives it nn.GRU's fresh weights; it has nn.GRU's attributes, of which
    a rate that is set later counts, and can be printed. A difference counts with --strict only.
    """
    case, target = pair.case, pair.target
    differences = [*target.unseen]
    if target.layers is not None:
        differences.append(f"built with num_layers={target.layers} only")
    if target.refused_bias:
        differences.append(f"bias=False: {target.refused_bias}")
    batch_first = case.batch_first
    built = {
        f"built {how}": partial(_assert_built, pair, *given, batch_first)
        for how, given in ways_to_build(case, batch_first, target.device).items()
    }
    built["built with nn.GRU's defaults"] = partial(_assert_defaults, pair)
    module = _built_time_first(pair)
    calls = {
        f"called with {how}": partial(_assert_called, pair, module, *given)
        for how, given in ways_to_call(pair.input, pair.h0).items()
    }
    others = {
        "state_dict": _assert_loaded,
        "fresh weights": _assert_fresh,
        "attributes": _assert_attributes,
        "repr": _assert_repr,
        "a rate that is set later": _assert_rate_can_be_set,
    }
    each = [{what: partial(check, pair, module)} for what, check in others.items()]
    for checks in (built, calls, *each):
        differences += islice(_differences(checks), 1)
    if differences:
        pair.refuse("; ".join(differences))


def ways_to_build(case: Case, batch_first: bool, device: str) -> dict[str, Arguments]:
    """Return the arguments with which nn.GRU can be built for a case."""
    values = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "bias": case.bias,
        "batch_first": batch_first,
        "dropout": case.dropout,
        "bidirectional": False,
    }
    own = {"device": device, "dtype": case.torch_dtype}
    return {
        "by position": (tuple(values.values()), {}),
        "by name": ((), {**values, **own}),
    }


def ways_to_call(input: Tensor, h0: Tensor) -> dict[str, Arguments]:
    """Return the arguments with which nn.GRU can be called."""
    return {
        "input": ((input,), {}),
        "input, None": ((input, None), {}),
        "input, h0": ((input, h0), {}),
        "input, hx=h0": ((input,), {"hx": h0}),
        "input=input, hx=h0": ((), {"input": input, "hx": h0}),
    }


def _differences(checks: Mapping[str, Callable[[], None]]) -> Iterator[str]:
    """Yield what each check says that fails."""
    for what, check in checks.items():
        try:
            check()
        except Refused as error:
            yield f"{what}: {describe_error(error.__cause__ or error)}"
        except Violated as error:
            numbers = error.violation.difference is not None
            yield f"{what}: {str(error).partition(' (')[0] if numbers else error}"


def _assert_defaults(pair: Pair) -> None:
    """Raise a violation if built with sizes alone it has not one layer, with biases."""
    plain = replace(pair.case, num_layers=1, bias=True, dropout=0.0)
    sizes = plain.input_size, plain.hidden_size
    _assert_built(Pair(pair.target, plain), sizes, {}, batch_first=False)


def _assert_built(
    pair: Pair, arguments: tuple[Any, ...], keywords: dict[str, Any], batch_first: bool
) -> None:
    """Raise a violation if what is built so differs from the target as it is driven."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one layer with dropout
            module = pair.target.factory(*arguments, **keywords)
    except RAISED as error:
        raise Violated(describe_error(error)) from error
    if not isinstance(module, nn.Module):
        raise Violated(f"gives {with_article(type(module).__name__)}")
    if "dtype" not in keywords:
        module = module.to(device=pair.input.device, dtype=pair.input.dtype)
    driven = own_module(pair.module).state_dict()
    _assert_same_tensors(module.state_dict(), driven, "as it is driven there is")
    _load(module, driven)
    convention = replace(pair.target.convention, batch_first=False)
    module = adapt(module.eval(), convention, pair.case.num_layers)
    right = _driven(pair, pair.h0)
    input = pair.input.transpose(0, 1).contiguous() if batch_first else pair.input
    outputs, hn = called(module, input, pair.h0.clone())
    if batch_first and isinstance(outputs, Tensor) and outputs.dim() == 3:
        outputs = outputs.transpose(0, 1)
    assert_results(pair, "batch first" if batch_first else "time first", outputs, hn, right)


def _built_time_first(pair: Pair) -> nn.Module:
    """Return the target's own module, which takes (T, B, I) if it can be built to."""
    own = own_module(pair.module)
    if pair.target.convention.batch_first or pair.case.batch_first:
        with contextlib.suppress(TargetError):
            module = own_module(pair.target.build(pair.case, batch_first=False))
            module.load_state_dict(own.state_dict())
            return module
    return own


def _assert_called(
    pair: Pair, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    """Raise a violation if a call's results differ from those of the target as it is driven."""
    has_state = any(one is pair.h0 for one in (*arguments, *keywords.values()))
    right = _driven(pair, pair.h0 if has_state else torch.zeros_like(pair.h0))
    cloned = [None if one is None else one.clone() for one in arguments]
    outputs, hn = called(module, *cloned, **{key: one.clone() for key, one in keywords.items()})
    assert_results(pair, "result", outputs, hn, right)


def _driven(pair: Pair, h0: Tensor) -> Expected:
    """Return the target's results as it is driven, whose equation other laws judge."""
    run, bound = pair.run(h0=h0), expected(pair, None, h0=h0)
    return Expected(
        Bounded(run.outputs.double(), 2 * bound.outputs.error),
        Bounded(run.hn.double(), 2 * bound.hn.error),
    )


def _assert_loaded(pair: Pair, module: nn.Module) -> None:
    """Raise a violation if state_dicts of nn.GRU and the target are not each other's."""
    right = pair.reference.state_dict()
    _assert_same_tensors(module.state_dict(), right)
    for name, own in module.state_dict().items():
        if not torch.equal(own, right[name]):
            raise Violated(f"{name} holds other numbers than nn.GRU's of the same equation")
    fresh = own_module(pair.target.build(pair.case))
    _load(fresh, right)
    _load(pair.reference, module.state_dict())
    _assert_same_tensors(dict(module.named_parameters()), dict(pair.reference.named_parameters()))


#: What code reads of an nn.GRU.
ATTRIBUTES = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)


def _assert_fresh(pair: Pair, module: nn.Module) -> None:
    """Raise a violation if a seed gives other initial weights than nn.GRU's."""
    case = pair.case
    fresh = []
    for build in (pair.target.factory, nn.GRU):
        pair.seed()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                built = build(case.input_size, case.hidden_size, case.num_layers)
            except RAISED as error:
                raise Violated(describe_error(error)) from error
        fresh.append(dict(built.named_parameters()))
    for name, own in fresh[0].items():  # other names are other differences
        if name in fresh[1] and not torch.equal(own, fresh[1][name]):
            raise Violated(f"{name} is another from the same seed")


def _assert_attributes(pair: Pair, module: nn.Module) -> None:
    """Raise a violation if an attribute that code reads is not nn.GRU's."""
    gru = pair.reference
    for name in ATTRIBUTES:
        right = pair.case.batch_first and module is own_module(pair.module)
        right = right if name == "batch_first" else getattr(gru, name)
        if not hasattr(module, name):
            raise Violated(f"there is no {name}")
        own = getattr(module, name)
        if isinstance(own, (nn.Module, Tensor)) or own != right:
            shown = with_article(type(own).__name__) if isinstance(own, nn.Module) else repr(own)
            raise Violated(f"{name} is {shown}, nn.GRU's is {right!r}")
    try:
        flatten: Any = module.flatten_parameters
        flatten()
    except RAISED as error:
        raise Violated(f"flatten_parameters raised {describe_error(error)}") from error


def _assert_repr(pair: Pair, module: nn.Module) -> None:
    """Raise a violation if the module cannot be printed."""
    try:
        repr(module)
    except RAISED as error:
        raise Violated(f"raised {describe_error(error)}") from error


def _assert_rate_can_be_set(pair: Pair, module: nn.Module) -> None:
    """Raise a violation if a rate that is set later is not the one at which masks are drawn."""
    if pair.case.num_layers == 1 or not isinstance(getattr(module, "dropout", None), float | int):
        return
    before, mode = module.dropout, module.training
    try:
        module.dropout = 0.25  # type: ignore[assignment]
        module.train()
        with torch.no_grad(), Recorder() as recorder:
            called(module, pair.input.clone(), pair.h0.clone())
    finally:
        module.dropout = before
        module.train(mode)
    rates = {round(1 - draw.keep, 9) for draw in recorder.draws}
    if rates != {0.25}:
        raise Violated(f"masks are drawn at {sorted(rates) or 'no rate'}, where 0.25 was set")


def _load(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load a state_dict; raise a violation if that raises."""
    try:
        module.load_state_dict(tensors)
    except RAISED as error:
        raise Violated(f"load_state_dict raised {describe_error(error)}") from error


def _assert_same_tensors(
    found: dict[str, Tensor], right: dict[str, Tensor], where: str = "nn.GRU has"
) -> None:
    """Raise a violation if two dictionaries differ in names, order, shapes or dtypes."""
    for own, other in zip([*found, *[None] * len(right)], right, strict=False):
        if own != other:
            order = ", in this place" if other in found and own in right else ""
            raise Violated(f"{own or 'nothing'} where {where} {other}{order}")
    if len(found) > len(right):
        raise Violated(f"{list(found)[len(right)]} where {where} nothing")
    for name, tensor in found.items():
        mine, others = map(_described, (tensor, right[name]))
        if mine != others:
            raise Violated(f"{name} is {mine} where {where} {others}")


def _described(value: object) -> str:
    """Return a tensor's dtype and shape; a state_dict may also hold what is no tensor."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    return with_article(type(value).__name__)


class Refused(Exception):
    """The target raised, but nn.GRU gives a result."""


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
