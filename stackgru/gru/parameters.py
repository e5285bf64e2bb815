"""The one map between the parameter names of GRU cells and those of nn.GRU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

#: A cell's parameters, in the order in which torch creates and initialises them.
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

#: One layer's parameters by their cell names; a layer without biases has the first two only.
Layer = Mapping[str, Tensor]


def gru_name(name: str, layer: int, directions: int = 1) -> str:
    """Return nn.GRU's name for a cell's parameter, e.g. ``weight_ih_l0`` for ``weight_ih``.

    With two directions, layers are counted as hn has them: each forward, then the same backward.
    """
    number, way = divmod(layer, directions)
    return f"{name}_l{number}{'_reverse' * way}"


def parameter_label(name: str, layer: int) -> str:
    """Return a parameter's name in messages, e.g. ``weight_ih of layer 0``."""
    return f"{name} of layer {layer}"


def parameter_shapes(
    input_size: int, hidden_size: int, num_layers: int, bias: bool, directions: int = 1
) -> list[dict[str, tuple[int, ...]]]:
    """Return each layer's shapes by the names in PARAMETERS, gates stacked in the order r, z, n."""
    gates = 3 * hidden_size
    above = [directions * hidden_size] * (directions * (num_layers - 1))
    shapes = []
    for width in [input_size] * directions + above:
        layer: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, width),
            "weight_hh": (gates, hidden_size),
        }
        if bias:
            layer |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        shapes.append(layer)
    return shapes


def gru_layers(gru: nn.GRU) -> list[Layer]:
    """Return the parameters of an nn.GRU, layer by layer, by their cell names; see gru_name."""
    names = PARAMETERS if gru.bias else PARAMETERS[:2]
    directions = 2 if gru.bidirectional else 1
    return [
        {name: getattr(gru, gru_name(name, layer, directions)) for name in names}
        for layer in range(directions * gru.num_layers)
    ]


def copy_layers(source: Sequence[Layer], target: Sequence[Layer]) -> None:
    """Copy parameters layer by layer; biases that only the target has are zeroed."""
    with torch.no_grad():
        for old, new in zip(source, target, strict=True):
            for name, parameter in new.items():
                if name in old:
                    parameter.copy_(old[name])
                else:
                    parameter.zero_()
