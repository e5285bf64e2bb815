"""Probing a target: building and calling it once to find out what it is."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.case import AUTOCAST, Case
from stackgru.options import DTYPES, UsageError
from stackgru.targets.adapter import ConventionMismatch, adapt
from stackgru.targets.construct import construct, names_of, taken
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import count_layers, find_weights, read_layers
from stackgru.targets.importing import (
    RAISED,
    CannotBuild,
    CannotCall,
    NoNames,
    TargetError,
    describe_error,
    place_of,
    with_article,
)
from stackgru.targets.try_weights import TriedWeights, try_weights
from stackgru.torch_settings import settings_kept, without_cudnn

# Sizes that differ from each other, so that a result's shape shows what it is.
PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=5, seq_len=6, dtype="float32")
# One cell for all layers only takes an input as wide as a state; the laws show that it takes no
# other.
_SQUARE = replace(PROBE, input_size=PROBE.hidden_size)
#: What a module may say that computes in another dtype only.
_OF_DTYPES = re.compile("float|double|dtype", re.IGNORECASE)


@dataclass(frozen=True)
class TargetInfo:
    """What probing finds out about a target.

    Attributes:
        kind: "cell" or "sequence".
        is_exact: whether the results have the right shapes.
        accepts: which of num_layers, dropout and bias it can be built with.
        takes_no_state: whether it may be called without a state.
        options: which of batch_first and bidirectional it can be built with.
        layers: its number of layers, if it is not built with num_layers.
        rate: its dropout probability, if it is not built with one.
        refused_dtypes: each dtype that it does not support though nn.GRU does, and why.
        tried: how its weights were found by trying; None if names or its convention say it.
        refused_bias: why it cannot be built with bias=False, though it takes bias; "" if it can.
        has_one_width: whether it can be called only where input_size is hidden_size.
    """

    kind: str
    is_exact: bool
    accepts: frozenset[str]
    takes_no_state: bool
    options: frozenset[str]
    layers: int | None
    rate: float | None
    refused_dtypes: tuple[tuple[str, str], ...]
    refused_bias: str
    has_one_width: bool
    tried: TriedWeights | None


@functools.cache
def supported_dtypes(device: str = "cpu") -> tuple[str, ...]:
    """Return the names of the dtypes in which nn.GRU itself runs on this build and device."""
    supported = []
    for name in DTYPES:
        dtype = getattr(torch, name)
        try:
            nn.GRU(2, 3, device=device, dtype=dtype)(
                torch.zeros(1, 1, 2, device=device, dtype=dtype)
            )
        except RuntimeError:
            continue
        supported.append(name)
    return tuple(supported)


@functools.cache
def supported_casts(device: str = "cpu") -> tuple[str, ...]:
    """Return the names of the dtypes in which nn.GRU runs and trains under autocast on a device."""
    supported = []
    for name in AUTOCAST[1:]:
        # Some builds warn of what they do not support, and leave autocast off.
        with (
            contextlib.suppress(RuntimeError, UserWarning),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("error", UserWarning)
            to = torch.autocast(torch.device(device).type, dtype=getattr(torch, name))
            with torch.enable_grad(), to:
                output, _ = nn.GRU(2, 3, device=device)(torch.zeros(1, 1, 2, device=device))
            output.sum().backward()
            supported.append(name)
    return tuple(supported)


def probe(
    convention: Convention,
    name: str,
    kind: str | None,
    device: str,
    dtypes: Sequence[str] = DTYPES,
) -> TargetInfo:
    """Build a target, find its weights and call it; its kind is found by calling it if None.

    ``dtypes`` are those in which it is tried.

    Raises:
        TargetError: if it cannot be built or called, or its weights are not found.
    """
    if convention.time_axis and kind == "sequence":
        raise UsageError("time_axis applies to cells only, not to sequences.")
    if convention.is_of_sequence and (kind == "cell" or convention.time_axis):
        raise UsageError(
            "batch_first, no state going in, and no state coming out apply to sequences only, not "
            "to cells."
        )
    kind = "sequence" if convention.is_of_sequence else kind
    # With weights, square sizes would hide a wrong convention.
    cases = [PROBE] if convention.weights is not None else [PROBE, _SQUARE]
    errors: list[TargetError] = []
    for case in (*cases, *(replace(case, dtype="float64") for case in cases)):
        if case.dtype == "float64" and not _OF_DTYPES.search(str(errors[0])):
            break
        try:
            info = _probe(convention, name, kind, device, fitted(convention, case), dtypes)
        except TargetError as error:
            errors.append(error)
        else:
            return replace(info, has_one_width=case.input_size == _SQUARE.input_size)
    raise errors[0]


def fitted(convention: Convention, case: Case) -> Case:
    """Return a case with sizes with which the target can be built."""
    input_size, hidden_size = convention.fitted_sizes(case.input_size, case.hidden_size)
    return replace(case, input_size=input_size, hidden_size=hidden_size)


def _probe(
    convention: Convention,
    name: str,
    kind: str | None,
    device: str,
    sizes: Case,
    dtypes: Sequence[str],
) -> TargetInfo:
    accepts = taken(convention, name) & {"num_layers", "dropout", "bias"}
    tried = None
    with torch.random.fork_rng(devices=[]), settings_kept(), without_cudnn():
        try:
            own, case = build_checked(convention, name, device, sizes)
        except NoNames as error:
            tried = _try_weights(convention, name, kind, sizes, error)
            convention = replace(convention, weights=tried)
            own, case = build_checked(convention, name, device, sizes)
        module = adapt(own, convention, case.num_layers)
        found, is_exact = _find_kind(module, case, name, kind, device, convention)
        options = _options(convention, name, case, device) if found == "sequence" else []
        offered = frozenset(options)
        tried_in = [one for one in supported_dtypes(device) if one in dtypes]
        refused_dtypes = tuple(_refused_dtypes(convention, name, case, device, found, tried_in))
        refused_bias = _refused_bias(convention, name, case, device) if "bias" in accepts else ""
    if convention.weights is not None or convention.unseen:
        offered -= {"bidirectional"}  # they are those of one direction
    if convention.batch_first:
        offered -= {"batch_first"}
    constants = convention.constants or {}
    return TargetInfo(
        kind=found,
        is_exact=is_exact,
        accepts=accepts - {"bias"} if refused_bias else accepts,
        takes_no_state=_takes_no_state(own),
        options=offered,
        layers=None if "num_layers" in accepts else case.num_layers,
        rate=None if "dropout" in accepts else constants.get("dropout", _own_rate(own)),
        refused_dtypes=refused_dtypes,
        refused_bias=refused_bias,
        has_one_width=False,
        tried=tried,
    )


def build_checked(
    convention: Convention, name: str, device: str, case: Case
) -> tuple[nn.Module, Case]:
    """Build a target in eval mode and check that its weights are found.

    Returns:
        Its own module, and the case with the module's number of layers.

    Raises:
        TargetError: if it cannot be built, or its weights are not found.
    """
    module = construct(convention, name, case, device)
    module.eval()  # which may return None
    if "num_layers" not in taken(convention, name):
        function = convention.weights
        shown = (
            count_layers(module) if function is None else len(read_layers(module, function, name))
        )
        case = replace(case, num_layers=max(1, shown))
        _assert_fixed_layers(convention, name, device, case, count_layers(module))
    find_weights(module, case, name, function=convention.weights)
    return module, case


def _assert_fixed_layers(
    convention: Convention, name: str, device: str, case: Case, layers: int
) -> None:
    """Raise CannotBuild if the number of layers depends on what is taken for a size."""
    wide, hidden = case.input_size + 1, case.hidden_size + 1
    larger = fitted(convention, replace(case, input_size=wide, hidden_size=hidden))
    try:
        other = construct(convention, name, larger, device)
    except TargetError:
        return  # not every size is possible
    if count_layers(other) != layers:
        raise CannotBuild(
            f"{name} has {layers} layers for hidden_size={case.hidden_size}, and "
            f"{count_layers(other)} for {larger.hidden_size}: it takes other arguments, or in "
            "another order."
        )


def _try_weights(
    convention: Convention,
    name: str,
    kind: str | None,
    sizes: Case,
    error: NoNames,
) -> TriedWeights:
    """Find the weights of a module by trying, on the CPU: where they are is the same elsewhere."""
    device = "cpu"
    if not any(True for _ in construct(convention, name, sizes, device).parameters()):
        raise TargetError(
            f"{name} has no parameters; if it keeps its weights elsewhere, a Convention's weights "
            "can say where."
        )
    layers = sizes.num_layers if "num_layers" in taken(convention, name) else 1
    case = replace(sizes, num_layers=layers, dtype="float64", dropout=0.0)
    own = construct(convention, name, case, device)
    own.eval()
    module = adapt(own, convention, layers)
    found, is_exact = _find_kind(module, case, name, kind, device, convention)
    if not is_exact:
        raise CannotCall(f"{name} gives a state of another shape than nn.GRU's.")
    if found == "sequence":
        changed = _changed_by_the_first(module, case, device)
        if changed is not None and not bool(changed[1:].any()):  # a cell that takes steps as rows
            raise CannotCall(f"{name} carries nothing from step to step.")
    seen = {"takes_state": convention.takes_state, "shows_state": convention.shows_state}
    return try_weights(module, own, case, found, error, **seen)


def _options(convention: Convention, name: str, case: Case, device: str) -> Iterator[str]:
    """Yield the options of nn.GRU that a constructor takes, itself or by passing them on."""
    named_options, passes_on = names_of(convention.factory)
    for option in ("batch_first", "bidirectional"):
        if option in (convention.constants or {}):
            continue
        if option in named_options:
            yield option
        elif passes_on:  # what it builds shows whether the option was used
            with contextlib.suppress(TargetError):
                module = construct(convention, name, case, device, **{option: True})
                if getattr(module, option, False) is True:
                    yield option


def _own_rate(module: nn.Module) -> float:
    """Return the dropout probability that a module's parts name; 0 if none does, or several do."""
    named = [
        part.p if isinstance(part, nn.Dropout) else vars(part).get("dropout")
        for part in module.modules()
    ]
    found = {rate for rate in named if isinstance(rate, float) and 0 < rate <= 1}
    return found.pop() if len(found) == 1 else 0.0


def _refused_bias(convention: Convention, name: str, case: Case, device: str) -> str:
    try:
        construct(convention, name, replace(case, bias=False), device)
    except TargetError as error:
        return f"the constructor refuses it: {describe_error(error.__cause__ or error)}"
    return ""


def _refused_dtypes(
    convention: Convention, name: str, case: Case, device: str, kind: str, dtypes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield each dtype in which nn.GRU runs and the target does not, unless none is left."""
    found = []
    for dtype in dtypes:
        one = replace(case, dtype=dtype)
        try:
            module = construct(convention, name, one, device)
            module.eval()
            result = _call(adapt(module, convention, one.num_layers), one, kind, device)
        except ConventionMismatch as error:
            found.append((dtype, str(error)))
        except RAISED as error:
            found.append((dtype, f"the target raised {describe_error(error)}"))
        else:
            if not _is_pair(result):
                found.append((dtype, f"the target gave {_described(result)}"))
                continue
            parts = zip(("output", "hn"), result, strict=True)
            wrong = [
                f"{what} is {value.dtype}"
                for what, value in parts
                if value.dtype != one.torch_dtype
            ]
            found += [(dtype, " and ".join(wrong))] if wrong else []
    if len(found) < len(dtypes):
        yield from found


def _takes_no_state(module: nn.Module) -> bool:
    """Whether the module may be called with the input alone."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    required = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return len(required) <= 1


def _find_kind(
    module: nn.Module,
    case: Case,
    name: str,
    kind: str | None,
    device: str,
    convention: Convention,
) -> tuple[str, bool]:
    """Call the module as a sequence and as a cell; the shapes of the results show which it is."""
    candidates = ("cell",) if convention.time_axis else ("sequence", "cell")
    candidates = candidates if kind is None else (kind,)
    seen, nearly = [], []
    for candidate in candidates:
        rows = (case.batch,) if candidate == "cell" else (case.seq_len, case.batch)
        state = (case.num_layers, case.batch, case.hidden_size)
        try:
            result = _call(module, case, candidate, device)
        except ConventionMismatch as error:
            seen.append(f"as a {candidate} it {str(error).removeprefix('the target ')}")
            continue
        except RAISED as error:
            seen.append(f"as a {candidate} it raised {describe_error(error)}{place_of(error)}")
            continue
        if not _is_pair(result):
            seen.append(f"as a {candidate} it gave {_described(result)}")
        elif result[0].shape != (*rows, case.hidden_size):
            seen.append(f"as a {candidate} it gave an output of shape {tuple(result[0].shape)}")
        elif result[1].shape == state:
            if candidate == "sequence" and _has_axes_swapped(module, case, device):
                is_now = "time first: leave out" if convention.batch_first else "batch first: pass"
                seen.append(f"as a sequence it is {is_now} --batch-first")
                continue
            shapes = [one.shape for one in result]
            return candidate, _has_shapes_without_state(module, case, candidate, device, shapes)
        else:
            nearly.append(candidate)  # the laws show a state of a wrong shape
    if nearly:
        return nearly[-1], False
    expected = {
        "cell": "(B, I), (L, B, H) -> (B, H), (L, B, H)",
        "sequence": "(T, B, I), (L, B, H) -> (T, B, H), (L, B, H)",
    }
    wanted = " or ".join(f"as a {candidate}, {expected[candidate]}" for candidate in candidates)
    words = f" with {' '.join(convention.cli_options)}" if convention.cli_options else ""
    raise CannotCall(f"{name} cannot be called {wanted}{words}: {'; '.join(seen)}.")


def _call(module: nn.Module, case: Case, kind: str, device: str) -> Any:
    """Call a module with zeros, as a cell or as a sequence."""
    rows = (case.batch,) if kind == "cell" else (case.seq_len, case.batch)
    like: dict[str, Any] = {"dtype": case.torch_dtype, "device": device}
    input = torch.zeros(*rows, case.input_size, **like)
    h0 = torch.zeros(case.num_layers, case.batch, case.hidden_size, **like)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module(input, h0)


def _has_shapes_without_state(
    module: nn.Module, case: Case, kind: str, device: str, shapes: list[torch.Size]
) -> bool:
    """Whether results have these shapes without a state, too, if there are any.

    A cell of a state (B, H) also takes (1, B, H), by broadcasting.
    """
    rows = (case.batch,) if kind == "cell" else (case.seq_len, case.batch)
    input = torch.zeros(*rows, case.input_size, dtype=case.torch_dtype, device=device)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = module(input)
    except RAISED:
        return True
    return not _is_pair(result) or [one.shape for one in result] == shapes


def _has_axes_swapped(module: nn.Module, case: Case, device: str) -> bool:
    """Whether a sequence carries its state along the rows, and not along the steps.

    Where neither h0 nor hn shows the number of rows, the shapes do not tell.
    """
    changed = _changed_by_the_first(module, case, device)
    return changed is not None and bool(changed[0, 1:].any()) and not bool(changed[1:, 0].any())


def _changed_by_the_first(module: nn.Module, case: Case, device: str) -> Tensor | None:
    """Return where a sequence's output changes with the first row of the first step, if it does."""
    like: dict[str, Any] = {"dtype": case.torch_dtype, "device": device}
    input = torch.randn(case.seq_len, case.batch, case.input_size, **like)
    h0 = torch.zeros(case.num_layers, case.batch, case.hidden_size, **like)
    other = input.clone()
    other[0, 0] += 1.0
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed: Tensor = module(input, h0)[0] != module(other, h0)[0]
    except RAISED:
        return None
    return changed


def _is_pair(result: object) -> bool:
    return (
        isinstance(result, Sequence)
        and len(result) == 2
        and all(isinstance(part, Tensor) for part in result)
    )


def _described(result: object) -> str:
    if isinstance(result, Tensor):
        return f"one tensor of shape {tuple(result.shape)}, not an output and a state"
    if isinstance(result, Sequence):
        return f"{len(result)} things, not an output and a state"
    return with_article(type(result).__name__)
