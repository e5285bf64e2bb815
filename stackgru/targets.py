"""Targets: loading one by name, building it for a case, finding its weights and its kind."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases import Case
from stackgru.loading import TargetError, import_target, named
from stackgru.weights import PARAMETERS, Layer

KINDS = ("cell", "sequence")

#: The constructor's arguments that a case sets, in the order in which they are given by position.
_BY_POSITION = ("input_size", "hidden_size", "num_layers", "dropout")
_BY_NAME = (*_BY_POSITION, "bias", "batch_first", "device", "dtype")
_NAME = re.compile(r"(?P<before>.*?)(?P<name>(weight|bias)_(ih|hh))(?P<after>(_l|[._])?\d*)$")

# Sizes that differ from each other, so that a result's shape tells what it is.
_PROBE = Case(input_size=3, hidden_size=4, num_layers=2, batch=5, seq_len=6, dtype="float32")


@dataclass(frozen=True)
class Target:
    """The implementation under test.

    Attributes:
        name: what it is called in reports, ``module:attr`` or ``path/file.py:attr``.
        factory: the class or function that builds it.
        kind: "cell" or "sequence".
        accepts: which of num_layers, dropout and bias it can be built with.
        takes_no_state: whether it may be called without a state.
        device: where it is built.
    """

    name: str
    factory: Callable[..., Any]
    kind: str
    accepts: frozenset[str]
    takes_no_state: bool
    device: str = "cpu"

    def build(self, case: Case) -> nn.Module:
        """Build the module for a case, in its dtype and mode.

        Args:
            case: gives sizes, layers, rate, bias, dtype and mode.

        Returns:
            The module, with its own initial weights.

        Raises:
            TargetError: if the constructor raises, or gives something other than a module.
        """
        module = build(self.factory, self.name, case, self.device)
        return module.train(case.mode == "train")


def load(spec: str | Callable[..., Any], *, kind: str | None = None, device: str = "cpu") -> Target:
    """Load a target and find out what it is.

    Args:
        spec: ``module:attr``, ``path/file.py:attr``, or the class or factory itself.
        kind: "cell" or "sequence"; found by calling it if None.
        device: where it is built.

    Returns:
        The target.

    Raises:
        TargetError: if it cannot be imported, built or called, or its weights are not found.
    """
    if isinstance(spec, str):
        name, factory = spec, import_target(spec)
    else:
        named_by = spec if hasattr(spec, "__qualname__") else type(spec)
        name = f"{named_by.__module__}:{named_by.__qualname__}"
        factory = spec
    if isinstance(factory, nn.Module):
        raise TargetError(
            f"{name} is a module that is already built; name its class or a factory of it."
        )
    if not callable(factory):
        raise TargetError(f"{name} is not callable: it is {_a(type(factory).__name__)}.")
    _check_device(device)
    positional, by_name = _arguments(factory, name)
    accepts = frozenset((*positional, *by_name)) & {"num_layers", "dropout", "bias"}
    probe = _PROBE if "num_layers" in accepts else replace(_PROBE, num_layers=1)
    with torch.random.fork_rng(devices=[]):
        module = build(factory, name, probe, device).eval()
        find_layers(module, probe, name)
        found = _find_kind(module, probe, name, kind, device)
    return Target(
        name=name,
        factory=factory,
        kind=found,
        accepts=accepts,
        takes_no_state=_takes_no_state(module),
        device=device,
    )


def build(factory: Callable[..., Any], name: str, case: Case, device: str) -> nn.Module:
    """Call a constructor with a case's numbers; see Target.build."""
    positional, by_name = _arguments(factory, name)
    values = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "dropout": case.dropout,
        "bias": case.bias,
        "batch_first": False,
        "device": device,
        "dtype": case.torch_dtype,
    }
    arguments = [values[key] for key in positional]
    keywords = {key: values[key] for key in by_name}
    try:
        with warnings.catch_warnings():
            # One layer with dropout: nn.GRU warns, and so may a target.
            warnings.simplefilter("ignore")
            module = factory(*arguments, **keywords)
    except Exception as error:
        shown = [repr(value) for value in arguments]
        shown += [f"{key}={value!r}" for key, value in keywords.items()]
        raise TargetError(f"{name}({', '.join(shown)}) raised {named(error)}.") from error
    if not isinstance(module, nn.Module):
        raise TargetError(f"{name} built {_a(type(module).__name__)}, not an nn.Module.")
    return module.to(device=device, dtype=case.torch_dtype)


def find_layers(module: nn.Module, case: Case, name: str = "the target") -> list[Layer]:
    """Find a module's parameters, layer by layer, under the names of nn.GRUCell.

    Args:
        module: the target, built for ``case``.
        case: tells how many layers of what sizes there must be.
        name: what the target is called in the message.

    Returns:
        One mapping a layer.

    Raises:
        TargetError: if they are not found; it says what was looked for and what there is.
    """
    found: list[dict[str, Tensor]] = []
    for shared in (False, True):  # a cell that serves several layers is listed once, then often
        modules = [child for _, child in module.named_modules(remove_duplicate=not shared)]
        cells = [child for child in modules if isinstance(child, nn.GRUCell)]
        if len(found) != case.num_layers:
            found = [dict(cell.named_parameters()) for cell in cells]
        if len(found) != case.num_layers:
            found = _layers_by_name(module, shared=shared)
    needed = [{"weight_ih", "weight_hh"} <= set(layer) for layer in found]
    if len(found) != case.num_layers or not all(needed):
        raise TargetError(_not_found(module, case, name))
    for layer, parameters in enumerate(found):
        width = case.hidden_size if layer else case.input_size
        for key, size in (("weight_ih", width), ("weight_hh", case.hidden_size)):
            expected = (3 * case.hidden_size, size)
            if parameters[key].shape != expected:
                raise TargetError(
                    f"{name}: {key} of layer {layer} has shape {tuple(parameters[key].shape)}, "
                    f"where nn.GRU's has (3 * hidden_size, width) = {expected}."
                )
    return list(found)


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


def _check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"device {device!r} cannot be used: {named(error)}.") from error


def _arguments(factory: Callable[..., Any], name: str) -> tuple[list[str], list[str]]:
    """Return which of a case's numbers a constructor takes by position, and which by name."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return list(_BY_POSITION), []
    kinds = {parameter.kind for parameter in parameters}
    names = {parameter.name for parameter in parameters}
    matching = [key for key in _BY_NAME if key in names]
    if {"input_size", "hidden_size", "num_layers", "dropout"} <= names:
        return [], matching
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return [], [key for key in _BY_NAME if key in names or key in _BY_POSITION]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return list(_BY_POSITION), []
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    by_position = []
    for key, parameter in zip(_BY_POSITION, positional, strict=False):
        if parameter.name != key and not _stands_for(key, parameter):
            break
        by_position.append(key)
    if len(by_position) < 2:
        raise TargetError(
            f"{name}{inspect.signature(factory)} cannot be built: it takes neither input_size and "
            "hidden_size by name nor (input_size, hidden_size, num_layers, dropout) by position."
        )
    return by_position, [key for key in matching if key not in by_position]


def _stands_for(key: str, parameter: inspect.Parameter) -> bool:
    """Whether a parameter of another name can be what stands at this position by custom."""
    if parameter.name in _BY_NAME:
        return False
    default = parameter.default
    if default is parameter.empty:
        return True
    kinds = (int, float) if key == "dropout" else (int,)
    return isinstance(default, kinds) and not isinstance(default, bool)


def _layers_by_name(module: nn.Module, *, shared: bool) -> list[dict[str, Tensor]]:
    """Group parameters by what stands before and after weight_ih, weight_hh, bias_ih, bias_hh."""
    layers: dict[tuple[str, str], dict[str, Tensor]] = {}
    for prefix, child in module.named_modules(remove_duplicate=not shared):
        for name, parameter in child.named_parameters(recurse=False):
            match = _NAME.match(f"{prefix}.{name}")
            if match:
                key = (match["before"], match["after"])
                layers.setdefault(key, {})[match["name"]] = parameter
    return list(layers.values())


def _not_found(module: nn.Module, case: Case, name: str) -> str:
    there = [f"{key} {tuple(value.shape)}" for key, value in module.named_parameters()]
    shown = ", ".join(there[:6]) + (", ..." if len(there) > 6 else "")
    return (
        f"the weights of {name} were not found: looked for {case.num_layers} nn.GRUCell children, "
        f"for parameters named weight_ih_l0 to bias_hh_l{case.num_layers - 1}, and for names that "
        f"end in {', '.join(PARAMETERS)} layer by layer; there is {shown or 'no parameter'}."
    )


def _find_kind(module: nn.Module, case: Case, name: str, kind: str | None, device: str) -> str:
    """Call the module as a sequence and as a cell; the shapes of the results tell which it is."""
    candidates = ("sequence", "cell") if kind is None else (kind,)
    seen, nearly = [], []
    for candidate in candidates:
        rows = (case.batch,) if candidate == "cell" else (case.seq_len, case.batch)
        input = torch.zeros(*rows, case.input_size, device=device)
        h0 = torch.zeros(case.num_layers, case.batch, case.hidden_size, device=device)
        try:
            with torch.no_grad():
                result = module(input, h0)
        except Exception as error:
            seen.append(f"as a {candidate} it raised {named(error)}")
            continue
        if not _is_pair(result):
            seen.append(f"as a {candidate} it gave {_described(result)}")
        elif result[0].shape != (*rows, case.hidden_size):
            seen.append(f"as a {candidate} it gave an output of shape {tuple(result[0].shape)}")
        elif result[1].shape == h0.shape:
            return candidate
        else:
            nearly.append(candidate)  # a state of a wrong shape is for the laws to show
    if nearly:
        return nearly[-1]
    expected = {
        "cell": "(B, I), (L, B, H) -> (B, H), (L, B, H)",
        "sequence": "(T, B, I), (L, B, H) -> (T, B, H), (L, B, H)",
    }
    wanted = " or ".join(f"as a {candidate}, {expected[candidate]}" for candidate in candidates)
    raise TargetError(f"{name} cannot be called {wanted}: {'; '.join(seen)}.")


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
    return _a(type(result).__name__)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
