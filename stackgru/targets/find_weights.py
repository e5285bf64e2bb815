"""Finding the weights of a module's layers: by their names, or as its convention specifies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.gru.parameters import PARAMETERS, Layer
from stackgru.targets.convention import FindsWeights
from stackgru.targets.importing import RAISED, NoNames, TargetError, WeightsNotFound, describe_error
from stackgru.targets.weights import DerivedWeights, DirectWeights, Parts, RearrangedWeights

_NAME = re.compile(
    r"(?P<before>.*?)(?P<name>(weight|bias)_(ih|hh))(?P<after>(_l|[._])?\d*(_reverse)?)$"
)


def find_weights(
    module: nn.Module,
    case: Case,
    name: str = "the target",
    *,
    function: FindsWeights | None = None,
    directions: int = 1,
) -> DirectWeights:
    """Find the weights of a module's layers.

    Args:
        module: the target's own module, built for ``case``.
        case: its number of layers and their sizes.
        name: what the target is called in a message.
        function: the convention's ``weights``; None to find the module's own parameters by name.
        directions: 2 if it is bidirectional.

    Raises:
        TargetError: if they are not found, or do not have nn.GRU's shapes.
    """
    if function is None:
        return DirectWeights(find_layers(module, case, name, directions))
    layers = read_layers(module, function, name)
    if len(layers) != case.num_layers:
        raise TargetError(
            f"the convention's weights for {name} have {len(layers)} layers; the module has "
            f"{case.num_layers}."
        )
    assert_shapes(layers, case, name)
    own: Parts = {f"parameter {key}": value for key, value in module.named_parameters()}
    if {id(value) for layer in layers for value in layer.values()} <= set(map(id, own.values())):
        return DirectWeights(layers)
    positions = _positions(module, own, function, name)
    if positions is None:
        return DerivedWeights(own, lambda: read_layers(module, function, name))
    return RearrangedWeights(own, positions)


def find_layers(
    module: nn.Module, case: Case, name: str = "the target", directions: int = 1
) -> list[Layer]:
    """Find a module's parameters, layer by layer, under the names of nn.GRUCell; see find_weights.

    One mapping per layer; for a bidirectional module each layer forward, then the same backward.
    """
    found: list[dict[str, Tensor]] = []
    number = case.num_layers * directions
    for shared in (False, True):  # a cell used by several layers is listed once, then each time
        modules = [child for _, child in module.named_modules(remove_duplicate=not shared)]
        cells = [child for child in modules if isinstance(child, nn.GRUCell)]
        if len(found) != number:
            found = [dict(cell.named_parameters()) for cell in cells]
        if len(found) != number:
            found = _layers_by_name(module, shared=shared)
    needed = [{"weight_ih", "weight_hh"} <= set(layer) for layer in found]
    if len(found) != number or not all(needed):
        kind = WeightsNotFound if found else NoNames
        raise kind(_not_found(module, case, name))
    assert_shapes(found, case, name, directions)
    return list(found)


def count_layers(module: nn.Module) -> int:
    """Return how many layers a module shows: its nn.GRUCells, or its groups of parameters."""
    cells = sum(isinstance(child, nn.GRUCell) for child in module.modules())
    return cells or len(_layers_by_name(module, shared=False))


def assert_shapes(layers: Sequence[Layer], case: Case, name: str, directions: int = 1) -> None:
    """Raise a TargetError if a weight or bias does not have nn.GRU's shape."""
    gates = 3 * case.hidden_size
    for layer, parameters in enumerate(layers):
        width = case.hidden_size * directions if layer >= directions else case.input_size
        shapes = {"weight_ih": (gates, width), "weight_hh": (gates, case.hidden_size)}
        for key, value in parameters.items():
            expected = shapes.get(key, (gates,))
            if value.shape != expected:
                sizes = "(3 * hidden_size, width)" if key in shapes else "(3 * hidden_size,)"
                # What is transposed can be specified; other shapes are those of something else.
                kind = WeightsNotFound if value.shape[::-1] == expected else TargetError
                raise kind(
                    f"{name}: {key} of layer {layer} has shape {tuple(value.shape)}; "
                    f"nn.GRU's has {sizes} = {expected}."
                )


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
        f"end in {', '.join(PARAMETERS)} layer by layer; the module has {shown or 'no parameter'}."
    )


def read_layers(module: nn.Module, function: FindsWeights, name: str) -> list[Layer]:
    """Return the layers that a convention's ``weights`` returns, each as a mapping."""
    try:
        with torch.no_grad():
            found = list(function(module))
    except RAISED as error:
        raise TargetError(
            f"the convention's weights for {name} raised {describe_error(error)}."
        ) from error
    layers: list[Layer] = []
    for index, one in enumerate(found):
        layer: Mapping[str, Any] = (
            dict(one.named_parameters()) if isinstance(one, nn.GRUCell) else one
        )
        given = set()
        if isinstance(layer, Mapping):
            given = {key for key, value in layer.items() if value is not None}
        if given not in (set(PARAMETERS), set(PARAMETERS[:2])):
            what = ", ".join(sorted(map(str, given))) or type(one).__name__
            raise TargetError(
                f"the convention's weights for {name} give {what} for layer {index}, not an "
                f"nn.GRUCell or a mapping with {', '.join(PARAMETERS)}, or the first two of them."
            )
        layers.append({key: layer[key] for key in PARAMETERS if key in given})
    return layers


def _positions(
    module: nn.Module, own: Parts, function: FindsWeights, name: str
) -> list[dict[str, Tensor]] | None:
    """Return which of the module's own numbers each number of the weights is; None if it is none.

    The module's numbers are replaced by ids and the weights are read. If they consist of ids, and
    the same positions hold for other numbers, they are the module's own, rearranged.
    """
    size = sum(value.numel() for value in own.values())

    def read(numbers: Tensor) -> list[Parts]:
        with _filled(own, numbers):  # the values are copied inside: some may be parameters
            layers = read_layers(module, function, name)
            return [
                {key: value.detach().cpu().double().clone() for key, value in layer.items()}
                for layer in layers
            ]

    layers = read(torch.arange(1, size + 1, dtype=torch.float64))
    for layer in layers:
        for value in layer.values():
            if not bool(((value == value.round()) & (value >= 0) & (value <= size)).all()):
                return None
    positions = [{key: value.long() for key, value in layer.items()} for layer in layers]
    generator = torch.Generator().manual_seed(1)
    numbers = torch.rand(size, generator=generator).double()
    flat = torch.cat([numbers.new_zeros(1), numbers])
    for layer, other in zip(positions, read(numbers), strict=True):
        if not all(torch.equal(value, flat[layer[key]]) for key, value in other.items()):
            return None
    return positions


@contextmanager
def _filled(own: Parts, numbers: Tensor) -> Iterator[None]:
    """Replace a module's own numbers by others, float64, and put them back."""
    before = {name: value.data for name, value in own.items()}
    try:
        start = 0
        for value in own.values():
            part = numbers[start : start + value.numel()].reshape(value.shape)
            value.data = part.to(value.device)
            start += value.numel()
        yield
    finally:
        for name, value in own.items():
            value.data = before[name]
