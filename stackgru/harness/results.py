"""Results as a target gives them: checked for their form, and made plain tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from stackgru.cases.case import Case
from stackgru.harness.forms import shapes_of_results
from stackgru.outcomes import NO_EXCEPTION, Violated
from stackgru.targets.importing import describe_error

#: Called so before torch 2.0, where the name below now disables more.
DisableTorchFunction = getattr(
    torch._C, "DisableTorchFunctionSubclass", torch._C.DisableTorchFunction
)


def checked_results(case: Case, given: tuple[Any, ...], result: Any) -> tuple[Any, Tensor]:
    """Return output and hn of a call with these arguments, or raise if they are none.

    They have the input's dtype; under autocast they may have the one that it casts to.
    """
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Violated(f"the target gave {type(result).__name__}, not an output and a state")
    output, hn = result
    shapes = shapes_of_results(case, given)
    if isinstance(given[0], PackedSequence):
        dtypes = _dtypes(case, given[0].data)
        output = _checked_packed(output, given[0], shapes[0], dtypes)
    else:
        dtypes = _dtypes(case, given[0])
        output = _checked("output", output, shapes[0], dtypes)
    return output, _checked("hn", hn, shapes[1], dtypes)


def _dtypes(case: Case, input: Tensor) -> tuple[torch.dtype, ...]:
    """Return the dtypes that a result may have, the usual one first."""
    return (input.dtype, *([getattr(torch, case.autocast)] if case.autocast else []))


def _checked_packed(
    output: Any, given: PackedSequence, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]
) -> PackedSequence:
    """Return an output that is packed as the input is, or raise."""
    if not isinstance(output, PackedSequence):
        raise Violated(f"output: got {type(output).__name__}, expected PackedSequence")
    own, other = output.batch_sizes, given.batch_sizes
    if not torch.equal(own, other):
        raise Violated(f"batch_sizes of output: got {own}, expected the input's {other}")
    return output._replace(data=_checked("output", output.data, shape, dtypes))


def _checked(
    what: str, value: Any, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]
) -> Tensor:
    """Return a result that is a tensor of this shape and one of these dtypes, or raise."""
    if not isinstance(value, Tensor):
        raise Violated(f"{what}: got {type(value).__name__}, expected a tensor")
    found = plain(value)
    if found.shape != shape:
        raise Violated(f"{what}: got shape {tuple(found.shape)}, expected {shape}")
    if found.dtype not in dtypes:
        raise Violated(f"{what}: got {found.dtype}, expected {dtypes[0]}")
    return found


def raised_text(error: BaseException) -> str:
    """Return a violation's message of what a target raised where nn.GRU gives a result."""
    what = "" if isinstance(error, Exception) else f", {NO_EXCEPTION}"
    return f"the target raised {describe_error(error)}{what}; nn.GRU gives a result"


def plain(value: Tensor) -> Tensor:
    """Return a tensor without its subclass, which may have comparisons of its own.

    Raises:
        Violated: if it holds no values but what its subclass makes of it.
    """
    if type(value) in (Tensor, nn.Parameter):
        return value
    try:
        with DisableTorchFunction():
            own: Tensor = value.as_subclass(Tensor)
            return own
    except RuntimeError as error:
        name = type(value).__name__
        raise Violated(
            f"got a {name}, which is no plain tensor: {describe_error(error)}"
        ) from error
