"""Probing a target: building and calling it once to find out what it is."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.options import UsageError
from stackgru.targets.adapter import ConventionMismatch, adapt
from stackgru.targets.construct import construct, names_of, taken
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import count_layers, find_weights, read_layers
from stackgru.targets.importing import RAISED, TargetError, describe_error, with_article
from stackgru.torch_settings import settings_kept

# Sizes that differ from each other, so that a result's shape shows what it is.
PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=5, seq_len=6, dtype="float32")
# One cell for all layers only takes an input as wide as a state; the laws show that it takes no
# other.
_SQUARE = replace(PROBE, input_size=PROBE.hidden_size)


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
    """

    kind: str
    is_exact: bool
    accepts: frozenset[str]
    takes_no_state: bool
    options: frozenset[str]
    layers: int | None
    rate: float | None


def probe(convention: Convention, name: str, kind: str | None, device: str) -> TargetInfo:
    """Build a target, find its weights and call it; its kind is found by calling it if None.

    Raises:
        TargetError: if it cannot be built or called, or its weights are not found.
    """
    if convention.time_axis and kind == "sequence":
        raise UsageError("time_axis applies to cells only, not to sequences.")
    try:
        return _probe(convention, name, kind, device, PROBE)
    except TargetError as error:
        if convention.weights is not None:
            raise  # square sizes would hide a wrong convention
        try:
            return _probe(convention, name, kind, device, _SQUARE)
        except TargetError:
            raise error from None


def _probe(
    convention: Convention, name: str, kind: str | None, device: str, sizes: Case
) -> TargetInfo:
    accepts = taken(convention, name) & {"num_layers", "dropout", "bias"}
    with torch.random.fork_rng(devices=[]), settings_kept():
        own, case = build_checked(convention, name, device, sizes)
        module = adapt(own, convention, case.num_layers)
        found, is_exact = _find_kind(module, case, name, kind, device, convention)
        options = _options(convention, name, case, device) if found == "sequence" else []
        offered = frozenset(options)
    if convention.weights is not None:
        offered -= {"bidirectional"}  # they are those of one direction
    constants = convention.constants or {}
    return TargetInfo(
        kind=found,
        is_exact=is_exact,
        accepts=accepts,
        takes_no_state=_takes_no_state(own),
        options=offered,
        layers=None if "num_layers" in accepts else case.num_layers,
        rate=None if "dropout" in accepts else constants.get("dropout", 0.0),
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
    module = construct(convention, name, case, device).eval()
    if "num_layers" not in taken(convention, name):
        function = convention.weights
        shown = (
            count_layers(module) if function is None else len(read_layers(module, function, name))
        )
        case = replace(case, num_layers=max(1, shown))
    find_weights(module, case, name, function=convention.weights)
    return module, case


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
        input = torch.zeros(*rows, case.input_size, device=device)
        h0 = torch.zeros(case.num_layers, case.batch, case.hidden_size, device=device)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = module(input, h0)
        except ConventionMismatch as error:
            seen.append(f"as a {candidate} it {str(error).removeprefix('the target ')}")
            continue
        except RAISED as error:
            seen.append(f"as a {candidate} it raised {describe_error(error)}")
            continue
        if not _is_pair(result):
            seen.append(f"as a {candidate} it gave {_described(result)}")
        elif result[0].shape != (*rows, case.hidden_size):
            seen.append(f"as a {candidate} it gave an output of shape {tuple(result[0].shape)}")
        elif result[1].shape == h0.shape:
            return candidate, True
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
    raise TargetError(f"{name} cannot be called {wanted}{words}: {'; '.join(seen)}.")


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
