"""Locating the weights of a module's layers: by themselves, or as its convention tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.gru.parameters import PARAMETERS, Layer
from stackgru.targets.convention import FindsWeights
from stackgru.targets.finding import assert_shapes, find_layers
from stackgru.targets.importing import TargetError, named
from stackgru.targets.weights import DerivedWeights, DirectWeights, Parts, RearrangedWeights


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
        module: the target's module, built for ``case``.
        case: tells how many layers of what sizes there must be.
        name: what the target is called in a message.
        function: the convention's ``weights``; None to find the module's own parameters by name.
        directions: 2 where it is bidirectional.

    Returns:
        The weights.

    Raises:
        TargetError: if they are not found, or are not of nn.GRU's shapes.
    """
    if function is None:
        return DirectWeights(find_layers(module, case, name, directions))
    layers = read_layers(module, function, name)
    if len(layers) != case.num_layers:
        raise TargetError(
            f"the convention's weights of {name} are {len(layers)} layers, where the module has "
            f"{case.num_layers}."
        )
    assert_shapes(layers, case, name)
    own: Parts = {f"parameter {key}": value for key, value in module.named_parameters()}
    if {id(value) for layer in layers for value in layer.values()} <= set(map(id, own.values())):
        return DirectWeights(layers)
    places = _places(module, own, function, name)
    if places is None:
        return DerivedWeights(own, lambda: read_layers(module, function, name))
    return RearrangedWeights(own, places)


def read_layers(module: nn.Module, function: FindsWeights, name: str) -> list[Layer]:
    """Return the layers that a convention's ``weights`` gives, each as a mapping.

    Raises:
        TargetError: if it raises, or gives something else.
    """
    try:
        with torch.no_grad():
            found = list(function(module))
    except Exception as error:
        raise TargetError(f"the convention's weights of {name} raised {named(error)}.") from error
    layers: list[Layer] = []
    for index, one in enumerate(found):
        layer: Mapping[str, Any] = (
            dict(one.named_parameters()) if isinstance(one, nn.GRUCell) else one
        )
        given = set(layer) if isinstance(layer, Mapping) else set()
        if given not in (set(PARAMETERS), set(PARAMETERS[:2])):
            what = ", ".join(sorted(map(str, given))) or type(one).__name__
            raise TargetError(
                f"the convention's weights of {name} give for layer {index} {what}, not an "
                f"nn.GRUCell or a mapping with {', '.join(PARAMETERS)}, or the first two of them."
            )
        layers.append({key: layer[key] for key in PARAMETERS if key in given})
    return layers


def _places(
    module: nn.Module, own: Parts, function: FindsWeights, name: str
) -> list[dict[str, Tensor]] | None:
    """Return from which of the module's own numbers each of the weights' comes.

    Every number gets an id, and the weights are read: where they are ids, and stay where they are
    with other numbers in their place, the weights are the module's own in another arrangement.
    """
    size = sum(value.numel() for value in own.values())

    def read(numbers: Tensor) -> list[Parts]:
        with _filled(own, numbers):  # the values are taken within: some may be parameters
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
    places = [{key: value.long() for key, value in layer.items()} for layer in layers]
    generator = torch.Generator().manual_seed(1)
    numbers = torch.rand(size, generator=generator).double()
    flat = torch.cat([numbers.new_zeros(1), numbers])
    for layer, other in zip(places, read(numbers), strict=True):
        if not all(torch.equal(value, flat[layer[key]]) for key, value in other.items()):
            return None
    return places


@contextmanager
def _filled(own: Parts, numbers: Tensor) -> Iterator[None]:
    """Put other numbers, float64, in the place of a module's own."""
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
