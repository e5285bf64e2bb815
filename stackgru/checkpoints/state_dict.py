"""State dicts of whole models: stacks of cells become GRUs, or GRUs stacks, by renaming keys.

A stack is a ModuleList or numbered attributes of GRU cells, with keys such as
``decoder.rnn.grus.0.weight_ih`` or ``decoder.gru_1.weight_ih``; a GRU has keys such as
``decoder.rnn.weight_ih_l0``. The weights of both have the same shapes, in the same order.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from stackgru.gru.parameters import PARAMETERS, gru_name, parameter_shapes
from stackgru.options import StackgruError

To = Literal["gru", "cell"]

#: The names of StackingGRUCell's cells.
CELLS = "grus.{}"

_NAME = r"(?P<name>(?:weight|bias)_[ih]h)"
_CELL = re.compile(rf"(?P<before>(?:.*\D)?)(?P<number>\d+)\.{_NAME}")
_GRU = re.compile(rf"(?P<before>(?:.*\.)?){_NAME}_l(?P<number>\d+)(?P<back>_reverse)?")


class ConversionError(StackgruError, ValueError):
    """A state dict cannot be converted; the message gives the reason and the keys."""


@dataclass(frozen=True)
class LayerKeys:
    """The keys of a stack of cells, or of a GRU, in a state dict.

    Attributes:
        before: the part of the keys before a layer's number or a weight's name.
        keys: one mapping per layer, by the names in PARAMETERS.
    """

    before: str
    keys: Sequence[Mapping[str, str]]

    @property
    def prefix(self) -> str:
        """The name of the GRU or ModuleList, or the stem of numbered attributes."""
        return self.before.removesuffix(".")

    @property
    def owner(self) -> str:
        """The module that contains the cells."""
        return self.before.removesuffix(".").rpartition(".")[0]


def convert_state_dict(
    state: Mapping[str, Any], to: To, prefix: str | None = None, cells: str = CELLS
) -> OrderedDict[str, Any]:
    """Rename the weights of every stack of GRU cells, or of every GRU, in a model's state dict.

    Args:
        state: the state dict of a whole model.
        to: "gru" for the keys of nn.GRU, "cell" for those of a stack of cells.
        prefix: the only stack or GRU to convert: the name of a GRU, of a list of cells, or of the
            module that contains them. None converts all, except bidirectional GRUs.
        cells: the name of a cell within its stack, with {} for its layer.

    Returns:
        A state dict in the same order. The cells ``P.grus.0`` and so on become the GRU ``P``, and
        a GRU ``P`` becomes ``P.grus.0`` and so on. Nothing else changes; no tensor is copied.

    Raises:
        ConversionError: if there is nothing to convert, a stack is incomplete or inconsistent, or
            two would get the same names.
    """
    return renamed(state, renaming(state, to, prefix, cells)[1])


def renamed(state: Mapping[str, Any], names: Mapping[str, str]) -> OrderedDict[str, Any]:
    """Return a state dict in which some keys have new names."""
    new = OrderedDict((names.get(key, key), value) for key, value in state.items())
    if hasattr(state, "_metadata"):  # in which load_state_dict finds the modules' versions
        new._metadata = state._metadata  # type: ignore[attr-defined]
    return new


def renaming(
    state: Mapping[str, Any], to: To, prefix: str | None = None, cells: str = CELLS
) -> tuple[dict[str, LayerKeys], dict[str, str]]:
    """Return what is converted, by its new name, and the new name of each renamed key."""
    if to not in ("gru", "cell"):
        raise ConversionError(f"to must be 'gru' or 'cell', got {to!r}")
    if cells.count("{}") != 1:
        raise ConversionError(f"cells must contain one {{}} for the layer, got {cells!r}")
    prefix = None if prefix is None else prefix.removesuffix(".")
    found = _chosen(stacks(state, to), to, prefix)
    placed: dict[str, LayerKeys] = {}
    for one in found:
        place = (one.owner if to == "gru" else one.prefix) if prefix is None else prefix
        if place in placed:
            both = f"{placed[place].prefix!r} and {one.prefix!r}"
            raise ConversionError(
                f"{both} would both become {place!r}; pass one of them as the prefix"
            )
        placed[place] = one
    names: dict[str, str] = {}
    for place, one in placed.items():
        _check(one, state, to)
        before = f"{place}." if place else ""
        for layer, keys in enumerate(one.keys):
            for name, key in keys.items():
                new = gru_name(name, layer) if to == "gru" else f"{cells.format(layer)}.{name}"
                names[key] = before + new
    for old, new in names.items():
        if new in state and new not in names:
            raise ConversionError(f"{old!r} would become {new!r}, which already exists")
    return placed, names


def stacks(state: Mapping[Any, Any], to: To) -> list[LayerKeys]:
    """Return the stacks of numbered GRU cells, or, to convert to cells, the unidirectional GRUs."""
    pattern = _CELL if to == "gru" else _GRU
    layers: dict[str, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    both_ways = set()
    for key, value in state.items():
        match = pattern.fullmatch(key) if isinstance(key, str) else None
        if match is None or not isinstance(value, Tensor):
            continue
        layers[match["before"]][int(match["number"])][match["name"]] = key
        if match.groupdict().get("back"):
            both_ways.add(match["before"])
    found = []
    for before, by_number in layers.items():
        hidden = [state[keys["weight_hh"]] for keys in by_number.values() if "weight_hh" in keys]
        is_gru = not hidden or any(one.shape[:1] == (3 * one.shape[-1],) for one in hidden)
        if is_gru and before not in both_ways:
            keys = [by_number.get(layer, {}) for layer in _numbers(by_number)]
            found.append(LayerKeys(before, keys))
    return found


def _numbers(found: Mapping[int, Any]) -> range:
    """Return the expected numbers of layers: from 0, or from 1 if there is no 0."""
    return range(0 if 0 in found else 1, max(found) + 1)


def _chosen(found: list[LayerKeys], to: To, prefix: str | None) -> list[LayerKeys]:
    what = "stack of GRU cells" if to == "gru" else "unidirectional GRU"
    if not found:
        raise ConversionError(f"no {what} found in this state dict")
    if prefix is None:
        return found
    chosen = [one for one in found if prefix in (one.prefix, one.prefix.rstrip("_"))]
    if to == "gru":
        chosen = chosen or [one for one in found if prefix == one.owner]
    if not chosen:
        listed = ", ".join(repr(one.prefix) for one in found)
        raise ConversionError(f"no {what} found at {prefix!r}, only at {listed}")
    if len(chosen) > 1:
        listed = ", ".join(repr(one.prefix) for one in chosen)
        raise ConversionError(f"{prefix!r} contains more than one {what}; pass one of {listed}")
    return chosen


def _check(one: LayerKeys, state: Mapping[str, Any], to: To) -> None:
    """Raise a ConversionError if a stack is incomplete or inconsistent."""
    name = repr(one.prefix) if one.prefix else "the stack" if to == "gru" else "the GRU"
    has_bias = any(set(PARAMETERS[2:]) & set(keys) for keys in one.keys)
    needed = PARAMETERS if has_bias else PARAMETERS[:2]
    missing = [
        f"{key} of layer {layer}"
        for layer, keys in enumerate(one.keys)
        for key in needed
        if key not in keys
    ]
    if missing:
        raise ConversionError(f"{name} is incomplete: missing {', '.join(missing)}")
    first = state[one.keys[0]["weight_ih"]]
    hidden_size = state[one.keys[0]["weight_hh"]].shape[-1]
    shapes = parameter_shapes(first.shape[-1], hidden_size, len(one.keys), has_bias)
    for keys, wanted in zip(one.keys, shapes, strict=True):
        for key, shape in wanted.items():
            value = state[keys[key]]
            if tuple(value.shape) != shape:
                raise ConversionError(
                    f"{name} is not {'a GRU stack' if to == 'gru' else 'a GRU'}: {keys[key]} has "
                    f"shape {tuple(value.shape)}, expected {shape} to match the first layer; "
                    "pass the name of the right one as the prefix"
                )
            if value.dtype != first.dtype:
                raise ConversionError(
                    f"{name} has mixed dtypes: {one.keys[0]['weight_ih']} is {first.dtype}, "
                    f"{keys[key]} is {value.dtype}"
                )
