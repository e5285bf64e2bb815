"""State dicts of whole models: stacks of cells become GRUs, or GRUs stacks, by renaming keys.

A stack is a ModuleList, numbered attributes, or a single GRU cell, with keys such as
``decoder.rnn.0.weight_ih``, ``decoder.gru_1.weight_ih`` or ``decoder.cell.weight_ih``; a GRU has
keys such as ``decoder.rnn.weight_ih_l0``. The weights of both have the same shapes, in the same
order.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from stackgru.gru.parameters import PARAMETERS, gru_name
from stackgru.options import StackgruError, did_you_mean

To = Literal["gru", "cell"]

#: The names of StackingGRUCell's cells.
CELLS = "grus.{}"

#: Stands for a layer's number in the name of a cell; {1} begins with 1.
_LAYER = re.compile(r"\{(\d*)\}")
_NAME = r"(?P<name>(?:weight|bias)_[ih]h)"
_CELL = re.compile(rf"(?P<before>(?:.*\D)?)(?P<number>\d+)\.{_NAME}")
_LONE = re.compile(rf"(?P<before>(?:.*\.)?){_NAME}")
_GRU = re.compile(rf"(?P<before>(?:.*\.)?){_NAME}_l(?P<number>\d+)(?P<back>_reverse)?")


class ConversionError(StackgruError, ValueError):
    """A state dict cannot be converted; the message gives the reason and the keys."""


@dataclass(frozen=True)
class LayerKeys:
    """The keys of a stack of cells, or of a GRU, in a state dict.

    Attributes:
        before: the part of the keys before a layer's number or a weight's name.
        keys: one mapping per layer, by the names in PARAMETERS.
        back: likewise of the layers that go backward; empty if there are none.
        is_single: whether it is a single cell, without a number.
    """

    before: str
    keys: Sequence[Mapping[str, str]]
    back: Sequence[Mapping[str, str]] = ()
    is_single: bool = False

    @property
    def prefix(self) -> str:
        """The name of the GRU, ModuleList or cell, or the stem of numbered attributes."""
        return self.before.removesuffix(".")

    @property
    def owner(self) -> str:
        """The module that contains the cells."""
        return self.before.removesuffix(".").rpartition(".")[0]

    @property
    def is_numbered_attributes(self) -> bool:
        """Whether the layers are attributes such as gru_1 and gru_2, which no module contains."""
        return bool(self.before) and not self.before.endswith(".")

    @property
    def every(self) -> list[Mapping[str, str]]:
        """The mappings of all layers, those that go backward last."""
        return [*self.keys, *self.back]

    def place(self, to: To) -> str:
        """The name of what it becomes: its own, but for the name of StackingGRUCell's cells."""
        folds = to == "gru" and self.prefix.rpartition(".")[2] == CELLS.partition(".")[0]
        return self.owner if folds else self.prefix


@dataclass(frozen=True)
class Choice:
    """What of a state dict is converted, and how it is called then.

    Attributes:
        prefixes: the only stacks or GRUs to convert: each the name of a GRU, of a list of cells, of
            a cell, or of the module that contains them. Empty for all.
        name: the new name of the only one that is converted; None to keep its own.
        cells: the name of a cell within its stack, with {} for its layer, or {1} to count from 1;
            without, the name of the only one.
        stack: names of cells that form one stack, the lowest first; also of those that a GRU
            becomes.
        both_ways: names of the cells, or of the lists of cells, that go forward and backward in one
            bidirectional GRU; or of a cell each way for each of its layers, the lowest first.
    """

    prefixes: Sequence[str] = ()
    name: str | None = None
    cells: str = CELLS
    stack: Sequence[str] = ()
    both_ways: Sequence[str] = ()


def convert_state_dict(
    state: Mapping[str, Any], to: To, prefix: str | None = None, cells: str = CELLS, **others: Any
) -> OrderedDict[str, Any]:
    """Rename the weights of every stack of GRU cells, or of every GRU, in a model's state dict.

    Args:
        state: the state dict of a whole model.
        to: "gru" for the keys of nn.GRU, "cell" for those of a stack of cells.
        prefix: the only stack or GRU to convert: the name of a GRU, of a list of cells, of a cell,
            or of the module that contains them. None converts all.
        cells: the name of a cell within its stack, with {} for its layer; a name without {}, or an
            empty one, for a GRU of one layer.
        **others: name, stack and both_ways; see Choice.

    Returns:
        A state dict in the same order. The cells ``P.0`` and so on, a single cell ``P``, and
        StackingGRUCell's ``P.grus.0`` and so on become the GRU ``P``, and a GRU ``P`` becomes
        ``P.grus.0`` and so on. Nothing else changes; no tensor is copied.

    Raises:
        ConversionError: if there is nothing to convert, a stack is incomplete or inconsistent, two
            would get the same names, or what belongs together or what it is called is not known.
    """
    prefixes = () if prefix is None else (prefix,)
    return renamed(state, renaming(state, to, Choice(prefixes, cells=cells, **others))[1])


def renamed(state: Mapping[str, Any], names: Mapping[str, str]) -> OrderedDict[str, Any]:
    """Return a state dict in which some keys have new names."""
    new = OrderedDict((names.get(key, key), value) for key, value in state.items())
    if hasattr(state, "_metadata"):  # in which load_state_dict finds the modules' versions
        new._metadata = state._metadata  # type: ignore[attr-defined]
    return new


def renaming(
    state: Mapping[str, Any], to: To, choice: Choice
) -> tuple[dict[str, LayerKeys], dict[str, str]]:
    """Return what is converted, by its new name, and the new name of each renamed key."""
    if to not in ("gru", "cell"):
        raise ConversionError(f"to must be 'gru' or 'cell', got {to!r}")
    if len(_LAYER.findall(choice.cells)) > 1:
        raise ConversionError(f"cells may contain one {{}} for the layer, got {choice.cells!r}")
    found = _chosen(state, to, choice)
    given = choice.name if choice.name is not None else ",".join(choice.stack) or None
    if given is not None and len(found) > 1:
        listed = ", ".join(repr(one.prefix) for one in found)
        raise ConversionError(
            f"only one can get the name {given!r}; pass one of {listed} as the prefix"
        )
    placed: dict[str, LayerKeys] = {}
    for one in found:
        _check(one, state, to)
        place = one.place(to) if choice.name is None else choice.name
        if place in placed:
            both = f"{placed[place].prefix!r} and {one.prefix!r}"
            raise ConversionError(
                f"{both} would both become {place!r}; pass one of them as the prefix"
            )
        if to == "gru" and one.is_numbered_attributes and choice.name is None:
            cells = [keys["weight_ih"].rpartition(".")[0] for keys in one.keys]
            raise ConversionError(
                f"{' and '.join(cells)} are attributes of their own, so the GRU has no name; pass "
                f"one, for example --name {one.prefix.rstrip('_') or 'gru'}"
            )
        placed[place] = one
    names: dict[str, str] = {}
    for place, one in placed.items():
        names |= _gru_names(one, place) if to == "gru" else _cell_names(one, place, choice)
    for old, new in names.items():
        if new in state and new not in names:
            raise ConversionError(f"{old!r} would become {new!r}, which already exists")
    return placed, names


def _gru_names(one: LayerKeys, place: str) -> dict[str, str]:
    before = f"{place}." if place else ""
    names: dict[str, str] = {}
    for way, after in ((one.keys, ""), (one.back, "_reverse")):
        for layer, keys in enumerate(way):
            names |= {key: f"{before}{gru_name(name, layer)}{after}" for name, key in keys.items()}
    return names


def _cell_names(one: LayerKeys, place: str, choice: Choice) -> dict[str, str]:
    if choice.stack and not one.back:
        if len(choice.stack) != len(one.keys):
            raise ConversionError(
                f"{one.prefix!r} has {len(one.keys)} layers; --stack must name as many cells, "
                f"got {','.join(choice.stack)}"
            )
        layers = zip(one.keys, choice.stack, strict=True)
        return {key: f"{cell}.{name}" for keys, cell in layers for name, key in keys.items()}
    if choice.both_ways and not one.back:
        raise ConversionError(f"{one.prefix!r} goes one way; --cells or --stack name its cells")
    ways, before = [choice.cells], place
    if one.back:
        before = ""
        ways = list(choice.both_ways)
        if len(ways) == 2 * len(one.keys) > 2 and not any(map(_LAYER.search, ways)):
            layers = zip((*one.keys, *one.back), ways[::2] + ways[1::2], strict=True)
            return {key: f"{cell}.{name}" for keys, cell in layers for name, key in keys.items()}
        if len(ways) != 2:
            example = ",".join(f"{place}.{way}.{{}}" for way in ("ahead", "back"))
            raise ConversionError(
                f"{place!r} is bidirectional; say what its cells are to be called in each way, for "
                f"example --both-ways {example}"
            )
    names = {}
    for way, cells in zip((one.keys, one.back), ways, strict=False):
        number = _LAYER.search(cells)
        if number is None and len(way) > 1:
            raise ConversionError(
                f"{one.prefix!r} has {len(way)} layers, so the name of a cell must contain {{}}, "
                f"got {cells!r}"
            )
        for layer, keys in enumerate(way):
            shown = str(layer + int(number[1] or 0)) if number else ""
            cell = ".".join(filter(None, (before, _LAYER.sub(shown, cells))))
            for name, key in keys.items():
                names[key] = f"{cell}.{name}" if cell else name
    return names


def stacks(state: Mapping[Any, Any], to: To) -> list[LayerKeys]:
    """Return the stacks of GRU cells, or, to convert to cells, the GRUs."""
    layers: dict[tuple[str, bool], dict[int, dict[str, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    single: dict[str, dict[str, str]] = defaultdict(dict)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            continue
        match = (_CELL if to == "gru" else _GRU).fullmatch(key)
        if match is not None:
            is_back = bool(match.groupdict().get("back"))
            layers[match["before"], is_back][int(match["number"])][match["name"]] = key
        elif to == "gru" and (match := _LONE.fullmatch(key)):
            single[match["before"]][match["name"]] = key
    found = [LayerKeys(before, [keys], is_single=True) for before, keys in single.items()]
    for (before, is_back), by_number in layers.items():
        if is_back:
            continue
        keys = [by_number.get(layer, {}) for layer in _numbers(by_number)]
        back = layers.get((before, True), {})
        if to == "gru" and len(by_number) == 1 and before and not before.endswith("."):
            number, only = next(iter(by_number.items()))  # a single cell whose name ends so
            found.append(LayerKeys(f"{before}{number}.", [only], is_single=True))
        else:
            found.append(LayerKeys(before, keys, [back.get(at, {}) for at in _numbers(back)]))
    return [one for one in found if _is_gru(one, state)]


def _is_gru(one: LayerKeys, state: Mapping[Any, Any]) -> bool:
    hidden = [state[keys["weight_hh"]] for keys in one.keys if "weight_hh" in keys]
    return not hidden or any(value.shape[:1] == (3 * value.shape[-1],) for value in hidden)


def _numbers(found: Mapping[int, Any]) -> range:
    """Return the expected numbers of layers: from 0, or from 1 if there is no 0."""
    return range(0 if 0 in found or not found else 1, max(found, default=-1) + 1)


def _chosen(state: Mapping[str, Any], to: To, choice: Choice) -> list[LayerKeys]:
    """Return what is to be converted, put together as the choice says."""
    for names in (choice.stack, choice.both_ways):
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise ConversionError(f"{twice!r} is named twice")
    what, found = "stack of GRU cells" if to == "gru" else "GRU", stacks(state, to)
    if not found:
        raise ConversionError(f"no {what} found in this state dict")
    if to == "gru" and choice.stack:
        cells = [_cell(name, state) or _named(name, found, what) for name in choice.stack]
        return [LayerKeys(cells[0].before, [keys for one in cells for keys in one.keys])]
    if to == "gru" and choice.both_ways:
        if len(choice.both_ways) % 2:
            raise ConversionError("both ways take two names, or two for each layer")
        cells = [_cell(name, state) or _named(name, found, what) for name in choice.both_ways]
        if choice.name is None:
            raise ConversionError(
                f"{cells[0].prefix!r} and {cells[-1].prefix!r} become one GRU, which needs a name, "
                "for example --name gru"
            )
        ahead, back = ([keys for one in cells[way::2] for keys in one.keys] for way in (0, 1))
        return [replace(cells[0], keys=ahead, back=back)]
    if choice.prefixes:
        return [_named(prefix, found, what) for prefix in choice.prefixes]
    if not choice.both_ways and not all(one.back for one in found):
        found = [one for one in found if not one.back]  # what goes both ways is asked for by name
    beside = defaultdict(list)
    for one in found:
        if one.is_single:
            beside[one.owner].append(one.prefix)
    for names in beside.values():
        if len(names) > 1:
            listed = ",".join(names)
            each = " ".join(f"--prefix {name}" for name in names)
            both = f"--both-ways {listed} --name gru, " if len(names) == 2 else ""
            pairs = [two for two in beside.values() if len(two) == 2]
            if both and len(pairs) > 1:
                every = ",".join(name for two in pairs for name in two)
                both += f"--both-ways {every} --name gru for one of {len(pairs)} layers, "
            raise ConversionError(
                f"{', '.join(map(repr, names))} stand side by side, and no key tells whether they "
                f"belong together; pass {each} for a GRU each, {both}or --stack {listed} for one "
                "with these layers"
            )
    return found


def _cell(name: str, state: Mapping[str, Any]) -> LayerKeys | None:
    """Return the cell of this very name, also of one that is numbered; None if there is none."""
    keys = {one: f"{name}.{one}" for one in PARAMETERS if f"{name}.{one}" in state}
    return LayerKeys(f"{name}.", [keys], is_single=True) if "weight_ih" in keys else None


def _named(name: str, found: list[LayerKeys], what: str) -> LayerKeys:
    """Return the only stack or GRU that a name stands for."""
    name = name.removesuffix(".")
    chosen = [one for one in found if name in (one.prefix, one.prefix.rstrip("_"))]
    chosen = chosen or [one for one in found if name == one.owner]
    if not chosen:
        prefixes = [one.prefix for one in found]
        listed = ", ".join(map(repr, prefixes))
        raise ConversionError(
            f"no {what} found at {name!r}, only at {listed}{did_you_mean(name, prefixes)}"
        )
    if len(chosen) > 1:
        listed = ", ".join(repr(one.prefix) for one in chosen)
        raise ConversionError(f"{name!r} contains more than one {what}; pass one of {listed}")
    return chosen[0]


def _check(one: LayerKeys, state: Mapping[str, Any], to: To) -> None:
    """Raise a ConversionError if a stack is incomplete or inconsistent."""
    name = repr(one.prefix) if one.prefix else "the stack" if to == "gru" else "the GRU"
    has_bias = any(set(PARAMETERS[2:]) & set(keys) for keys in one.every)
    needed = PARAMETERS if has_bias else PARAMETERS[:2]
    there = [keys["weight_ih"].rpartition(".")[0] for keys in one.keys if "weight_ih" in keys]
    lacking = sum(not keys for keys in one.keys)
    if to == "gru" and len(there) > 1 and lacking:
        layers = "1 layer is" if lacking == 1 else f"{lacking} layers are"
        raise ConversionError(
            f"{name} is incomplete: {layers} missing among {', '.join(there)}; pass --stack "
            f"{','.join(there)} if these are all"
        )
    missing = [
        f"{key} of layer {layer}{back}"
        for way, back in ((one.keys, ""), (one.back, " backward"))
        for layer, keys in enumerate(way)
        for key in needed
        if key not in keys
    ]
    if missing:
        raise ConversionError(f"{name} is incomplete: missing {', '.join(missing)}")
    if one.back and len(one.back) != len(one.keys):
        raise ConversionError(
            f"{name} has {len(one.keys)} layers forward and {len(one.back)} backward"
        )
    first = state[one.keys[0]["weight_ih"]]
    hidden_size = state[one.keys[0]["weight_hh"]].shape[-1]
    above = hidden_size * (2 if one.back else 1)
    for way in (one.keys, one.back):
        for layer, keys in enumerate(way):
            width = above if layer else first.shape[-1]
            shapes = {"weight_ih": (3 * hidden_size, width)}
            shapes["weight_hh"] = (3 * hidden_size, hidden_size)
            for key in needed:
                _check_one(name, state, keys[key], shapes.get(key, (3 * hidden_size,)), to)
                value = state[keys[key]]
                if value.dtype != first.dtype:
                    raise ConversionError(
                        f"{name} has mixed dtypes: {one.keys[0]['weight_ih']} is {first.dtype}, "
                        f"{keys[key]} is {value.dtype}"
                    )


def _check_one(
    name: str, state: Mapping[str, Any], key: str, shape: tuple[int, ...], to: To
) -> None:
    value = state[key]
    if tuple(value.shape) != shape:
        raise ConversionError(
            f"{name} is not {'a GRU stack' if to == 'gru' else 'a GRU'}: {key} has shape "
            f"{tuple(value.shape)}, expected {shape} to match the first layer; pass the name of "
            "the right one as the prefix"
        )
