"""Weights: how the layers' weights are stored in a module's own parameters.

Laws are about layers, as nn.GRU has them; only the module's own parameters can be set and
differentiated. Usually the two are the same tensors. A convention's ``weights`` may also give views
of them, tensors put together from them, or tensors computed from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.cases.tensors import draw_tensor, draw_weights
from stackgru.gru.parameters import Layer, copy_layers, parameter_label
from stackgru.outcomes import NotApplicable

Parts = dict[str, Tensor]


class DirectWeights:
    """The weights of layers that are a module's own parameters.

    Args:
        layers: the parameters, layer by layer.

    Attributes:
        leaves: the module's own parameters by name; here "weight_ih of layer 0" and so on.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = list(layers)
        self.leaves = by_label(self._layers)

    @property
    def layers(self) -> list[Layer]:
        """The weights as they are now, layer by layer."""
        return self._layers

    def draw(self, case: Case) -> None:
        """Write the case's weights into the module."""
        self.write(draw_weights(case))

    def write(self, layers: Sequence[Layer]) -> None:
        """Write these weights into the module."""
        copy_layers(layers, self._layers)

    def intended(self, case: Case) -> Sequence[Layer]:
        """Return the weights that the case intends for the module, even those that it lacks."""
        return draw_weights(case)

    def copy_from(self, other: DirectWeights) -> None:
        """Copy the weights of a module that is built in the same way."""
        copy_layers(other.layers, self._layers)

    def to_layers(self, parts: Parts) -> Parts:
        """Rename and rearrange tensors of the leaves, e.g. gradients, to those of the weights.

        Zeros where a number belongs to no given leaf; other names are kept.
        """
        return parts

    def to_parameters(self, parts: Parts) -> Parts:
        """Rename and rearrange tensors of the weights to those of the leaves concerned."""
        return parts

    def weights_in(self, leaves: Sequence[str]) -> Sequence[str]:
        """Return the names of the weights stored in these leaves; other names are kept."""
        return leaves

    def representable(self, layers: Sequence[Layer]) -> Sequence[Layer]:
        """Return tensors of the weights' shapes with zeros where a weight is constant."""
        return layers

    def grads(self) -> list[dict[str, Tensor | None]]:
        """Return the gradients that the leaves hold, layer by layer."""
        return [{name: value.grad for name, value in layer.items()} for layer in self._layers]

    def shared_parameter(self) -> tuple[str, str] | None:
        """Return the names of two weights that are one parameter, or None."""
        owners: dict[int, str] = {}
        for name, value in self.leaves.items():
            # An empty one, and one on the meta device, has no memory of its own.
            place = id(value) if value.is_meta or not value.numel() else value.data_ptr()
            owner = owners.setdefault(place, name)
            if owner != name:
                return owner, name
        return None

    @contextmanager
    def perturbed(self, name: str, by: Tensor) -> Iterator[bool]:
        """Change one weight inside; yields whether there is anything to change."""
        shifts = self.to_parameters({name: by})
        before = {leaf: self.leaves[leaf].detach().clone() for leaf in shifts}
        try:
            with torch.no_grad():
                for leaf, shift in shifts.items():
                    self.leaves[leaf] += shift
            yield bool(shifts)
        finally:
            _copy(before, self.leaves)


class RearrangedWeights(DirectWeights):
    """The weights of layers that are stored in a module's own parameters in another arrangement.

    Args:
        own: the module's own parameters by name; the leaves are those that store any weight.
        positions: for every weight, which number of ``own`` each of its numbers is, counted from
            one, parameter by parameter; zero is a constant zero.
    """

    def __init__(self, own: Parts, positions: Sequence[Mapping[str, Tensor]]) -> None:
        self._own = own
        self._positions = by_label(positions)
        self.leaves = own
        self.leaves = {name: own[name] for name in self.to_parameters(self._positions)}
        self._names = [list(layer) for layer in positions]

    @property
    def layers(self) -> list[Layer]:
        """The weights as they are now, layer by layer."""
        return self._by_layer(self._gathered(self.leaves))

    def write(self, layers: Sequence[Layer]) -> None:
        """Write these weights into the module, except those that it lacks or that are constant."""
        _copy(self.to_parameters(self._own_of(layers)), self.leaves)

    def intended(self, case: Case) -> Sequence[Layer]:
        """Return the weights that the case intends for the module; zeros where one is constant."""
        return self.representable(draw_weights(case))

    def copy_from(self, other: DirectWeights) -> None:
        """Copy the weights of a module that is built in the same way."""
        _copy(other.leaves, self.leaves)

    def to_layers(self, parts: Parts) -> Parts:
        """Rename and rearrange tensors of the leaves to those of the weights."""
        mine = {name: value for name, value in parts.items() if name in self.leaves}
        others = {name: value for name, value in parts.items() if name not in self.leaves}
        return {**others, **(self._gathered(mine) if mine else {})}

    def to_parameters(self, parts: Parts) -> Parts:
        """Rename and rearrange tensors of the weights to those of the leaves concerned."""
        mine = {name: value for name, value in parts.items() if name in self._positions}
        others = {name: value for name, value in parts.items() if name not in self._positions}
        if not mine:
            return others
        size = sum(value.numel() for value in self._own.values())
        like = next(iter(mine.values())).detach()
        flat, touched = like.new_zeros(size + 1), like.new_zeros(size + 1, dtype=torch.bool)
        for name, value in mine.items():
            flat[self._positions[name]] = value.detach().to(flat)
            touched[self._positions[name]] = True
        found, end = {}, 1
        for name, leaf in self._own.items():
            start, end = end, end + leaf.numel()
            if bool(touched[start:end].any()):
                found[name] = flat[start:end].reshape(leaf.shape)
        return {**others, **found}

    def weights_in(self, leaves: Sequence[str]) -> Sequence[str]:
        """Return the names of the weights stored in these leaves; other names are kept."""
        ones = {name: torch.ones_like(self.leaves[name]) for name in leaves if name in self.leaves}
        found = self._gathered(ones) if ones else {}
        others = [name for name in leaves if name not in self.leaves]
        return [*others, *(name for name, value in found.items() if bool(value.any()))]

    def representable(self, layers: Sequence[Layer]) -> Sequence[Layer]:
        """Return tensors of the weights' shapes with zeros where a weight is constant."""
        return self._by_layer(self.to_layers(self.to_parameters(self._own_of(layers))))

    def _own_of(self, layers: Sequence[Layer]) -> Parts:
        """Return those of the weights that the module has, by name."""
        given = by_label(layers)
        return {name: value for name, value in given.items() if name in self._positions}

    def grads(self) -> list[dict[str, Tensor | None]]:
        """Return the gradients that the leaves hold, layer by layer."""
        held = {name: leaf.grad for name, leaf in self.leaves.items() if leaf.grad is not None}
        return self._by_layer(self._gathered(held) if held else dict.fromkeys(self._positions))

    def shared_parameter(self) -> tuple[str, str] | None:
        """Return the names of two weights that have a number in common, or None."""
        owners: dict[int, str] = {}
        for name, numbers in self._positions.items():
            own = numbers[numbers > 0].flatten().tolist()
            common = len(own) != len(set(own)) or not owners.keys().isdisjoint(own)
            if common:
                return next((owners[one] for one in own if one in owners), name), name
            owners |= dict.fromkeys(own, name)
        return None

    def _gathered(self, parts: Mapping[str, Tensor]) -> Parts:
        """Return every weight's numbers from the leaves; zeros for leaves that are not given."""
        like = next(iter(parts.values())).detach()
        flat = torch.cat(
            [
                like.new_zeros(1),
                *(
                    parts[name].detach().flatten()
                    if name in parts
                    else like.new_zeros(leaf.numel())
                    for name, leaf in self._own.items()
                ),
            ]
        )
        return {name: flat[numbers] for name, numbers in self._positions.items()}

    def _by_layer(self, parts: Mapping[str, Any]) -> list[Any]:
        return [
            {name: parts[parameter_label(name, index)] for name in names}
            for index, names in enumerate(self._names)
        ]


class DerivedWeights(DirectWeights):
    """The weights of layers that a module computes from its own parameters, e.g. as sums.

    Args:
        leaves: the module's own parameters by name.
        compute: returns the weights as they are now, layer by layer.
    """

    def __init__(self, leaves: Parts, compute: Callable[[], list[Layer]]) -> None:
        self.leaves = leaves
        self._compute = compute

    @property
    def layers(self) -> list[Layer]:
        """The weights as they are now, layer by layer."""
        return self._compute()

    def draw(self, case: Case) -> None:
        """Write numbers of the case into the module's own parameters."""
        with torch.no_grad():
            for name, leaf in self.leaves.items():
                leaf.copy_(draw_tensor(case, name, leaf.shape))

    def intended(self, case: Case) -> Sequence[Layer]:
        """Return the weights that result from the case's numbers."""
        return self.layers

    def copy_from(self, other: DirectWeights) -> None:
        """Copy the weights of a module that is built in the same way."""
        _copy(other.leaves, self.leaves)

    def _not_applicable(self, *_: Any) -> NoReturn:
        raise NotApplicable(
            "the layers' weights are computed from the module's own parameters, so none of them "
            "can be set or differentiated by itself"
        )

    to_layers = to_parameters = weights_in = representable = grads = _not_applicable  # type: ignore[assignment]
    shared_parameter = perturbed = write = _not_applicable  # type: ignore[assignment]


def by_label(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return values of the layers' weights by names such as "weight_ih of layer 0"."""
    return {
        parameter_label(name, index): value
        for index, layer in enumerate(layers)
        for name, value in layer.items()
    }


def _copy(source: Parts, target: Parts) -> None:
    with torch.no_grad():
        for name, value in source.items():
            target[name].copy_(value)
