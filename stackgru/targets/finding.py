"""Finding a target's weights, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.gru.parameters import PARAMETERS, Layer
from stackgru.targets.importing import TargetError, WeightsNotFound

_NAME = re.compile(
    r"(?P<before>.*?)(?P<name>(weight|bias)_(ih|hh))(?P<after>(_l|[._])?\d*(_reverse)?)$"
)


def find_layers(
    module: nn.Module, case: Case, name: str = "the target", directions: int = 1
) -> list[Layer]:
    """Find a module's parameters, layer by layer, under the names of nn.GRUCell.

    Args:
        module: the target, built for ``case``.
        case: tells how many layers of what sizes there must be.
        name: what the target is called in the message.
        directions: 2 where it is bidirectional.

    Returns:
        One mapping a layer; of a bidirectional module the layer forward, then the layer back.

    Raises:
        TargetError: if they are not found; it says what was looked for and what there is.
    """
    found: list[dict[str, Tensor]] = []
    number = case.num_layers * directions
    for shared in (False, True):  # a cell that serves several layers is listed once, then often
        modules = [child for _, child in module.named_modules(remove_duplicate=not shared)]
        cells = [child for child in modules if isinstance(child, nn.GRUCell)]
        if len(found) != number:
            found = [dict(cell.named_parameters()) for cell in cells]
        if len(found) != number:
            found = _layers_by_name(module, shared=shared)
    needed = [{"weight_ih", "weight_hh"} <= set(layer) for layer in found]
    if len(found) != number or not all(needed):
        raise WeightsNotFound(_not_found(module, case, name))
    assert_shapes(found, case, name, directions)
    return list(found)


def count_layers(module: nn.Module) -> int:
    """Return how many layers a module shows: its nn.GRUCells, or its groups of parameters."""
    cells = sum(isinstance(child, nn.GRUCell) for child in module.modules())
    return cells or len(_layers_by_name(module, shared=False))


def assert_shapes(layers: Sequence[Layer], case: Case, name: str, directions: int = 1) -> None:
    """Raise a TargetError where a weight is not of nn.GRU's shape."""
    for layer, parameters in enumerate(layers):
        width = case.hidden_size * directions if layer >= directions else case.input_size
        for key, size in (("weight_ih", width), ("weight_hh", case.hidden_size)):
            expected = (3 * case.hidden_size, size)
            if parameters[key].shape != expected:
                raise TargetError(
                    f"{name}: {key} of layer {layer} has shape {tuple(parameters[key].shape)}, "
                    f"where nn.GRU's has (3 * hidden_size, width) = {expected}."
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
        f"end in {', '.join(PARAMETERS)} layer by layer; there is {shown or 'no parameter'}."
    )
