"""Checkpoints: read without running what is pickled in them, converted, and written whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from stackgru.checkpoints.state_dict import ConversionError, Stack, To, renamed, renaming, stacks
from stackgru.gru.parameters import PARAMETERS
from stackgru.options import did_you_mean
from stackgru.report.files import replacing

_SAFE = ".safetensors"


@dataclass
class Checkpoint:
    """What is in a file.

    Attributes:
        content: as it was saved; a state dict, or dicts in which there is one.
        metadata: what a safetensors file says beside its tensors.
        is_safe: whether it is a safetensors file.
    """

    content: Any
    metadata: dict[str, str] | None = None
    is_safe: bool = False


@dataclass
class Converted:
    """What became of a checkpoint.

    Attributes:
        key: where in it the state dict is; empty if it is one.
        names: the new name of each key that got one.
        found: the stacks or GRUs that were converted, by their new names.
        notes: what became of the state of optimisers.
    """

    key: str
    names: dict[str, str]
    found: dict[str, Stack]
    notes: list[str] = field(default_factory=list)


def read(
    path: Path, file: BinaryIO, *, trust: bool = False, is_safe: bool | None = None
) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: its name.
        file: the open file.
        trust: run what is pickled in it.
        is_safe: whether it is a safetensors file; None to go by its name.

    Raises:
        ConversionError: if it cannot be read, or only by running what is pickled in it.
    """
    if path.suffix == _SAFE if is_safe is None else is_safe:
        return _read_safetensors(path)
    try:
        content = torch.load(file, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust:
            raise ConversionError(
                f"{path} is no checkpoint that torch can read: {error}"
            ) from error
        raise ConversionError(
            f"{path} holds more than tensors and plain values, and to load that would run code of "
            "whoever made it; if you trust them, pass --trust"
        ) from error
    except Exception as error:  # what torch raises for a broken file differs between versions
        lines = str(error).splitlines() or [""]
        what = f"{type(error).__name__}: {lines[0].partition('. ')[0]}"
        raise ConversionError(f"{path} is no checkpoint that torch can read: {what}") from error
    if isinstance(content, torch.nn.Module):
        raise ConversionError(
            f"{path} holds a whole {type(content).__name__}, not a state dict: save that instead"
        )
    return Checkpoint(content)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConversionError(f"{path} needs the package safetensors to be installed") from error
    try:
        with safe_open(path, "pt") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return Checkpoint(content, file.metadata(), is_safe=True)
    except SafetensorError as error:
        raise ConversionError(f"{path} is no safetensors file: {error}") from error


def write(path: Path, checkpoint: Checkpoint, check: Callable[[Path], None]) -> None:
    """Write a checkpoint whole, in the format that it was read in.

    Args:
        path: where.
        checkpoint: what.
        check: is given what was written before it is put in its place; what it raises keeps it
            from that.

    Raises:
        OSError: if it cannot be written; what stood there before still does.
    """
    with replacing(path) as temporary:
        if checkpoint.is_safe:
            from safetensors import SafetensorError
            from safetensors.torch import save_file

            try:
                save_file(checkpoint.content, temporary, metadata=checkpoint.metadata)
            except SafetensorError as error:
                raise OSError(str(error)) from error
        else:
            with temporary.open("wb") as file:
                torch.save(checkpoint.content, file)
        check(temporary)


def convert(
    checkpoint: Checkpoint, to: To, prefix: str | None, key: str | None, cells: str
) -> tuple[Checkpoint, Converted]:
    """Convert the state dict in a checkpoint, and the state of optimisers that belongs to it.

    Args:
        checkpoint: what was read; it stays as it is.
        to: as for convert_state_dict.
        prefix: as for convert_state_dict.
        key: where the state dict is, keys with full stops between; found if None.
        cells: as for convert_state_dict.

    Raises:
        ConversionError: if it is not found, or convert_state_dict refuses it.
    """
    content = checkpoint.content
    places = [place for place, one in _mappings(content) if stacks(one, to)]
    if key is None:
        if len(places) > 1:
            raise ConversionError(
                "there is more than one state dict with something to convert: name one of "
                f"{', '.join(map(repr, places))} as the key"
            )
        key = next(iter(places), "")
    state = state_at(content, key)
    found, names = renaming(state, to, prefix, cells)
    done = Converted(key, names, found)
    changed = _replaced(content, key, renamed(state, names))
    for place, optimiser in _mappings(content):
        if {"state", "param_groups"} <= set(optimiser):
            moved, note = _moved(optimiser, state, done)
            changed = _replaced(changed, place, moved)
            done.notes.append(f"optimiser {place!r}: {note}")
    return Checkpoint(changed, checkpoint.metadata, checkpoint.is_safe), done


def state_at(content: Any, key: str) -> Mapping[str, Any]:
    """Return the mapping at a place of a checkpoint; raise a ConversionError if there is none."""
    every = dict(_mappings(content))
    if key not in every:
        raise ConversionError(f"there is no state dict at {key!r}{did_you_mean(key, every)}")
    return every[key]


def _mappings(content: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every mapping in a checkpoint whose keys are texts, with its place.

    In a list, as Lightning keeps optimisers in, the place is a number.
    """
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, Mapping) and all(isinstance(key, str) for key in content):
        yield place, content
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    for key, value in inner:
        yield from _mappings(value, f"{place}.{key}" if place else str(key))


def _replaced(content: Any, place: str, new: Any) -> Any:
    """Return a copy of what is around a place, with another mapping there."""
    if not place:
        return new
    items = enumerate(content) if isinstance(content, list) else content.items()
    around = [
        key
        for key, value in items
        if isinstance(value, (Mapping, list)) and f"{place}.".startswith(f"{key}.")
    ]
    key = max(around, key=lambda one: len(str(one)))  # a key may hold a full stop itself
    copied = content.copy()
    copied[key] = _replaced(content[key], place[len(f"{key}.") :], new)
    return copied


def _moved(
    optimiser: Mapping[str, Any], state: Mapping[str, Any], done: Converted
) -> tuple[dict[str, Any], str]:
    """Return the state of an optimiser under the new names, and what was done with it."""
    own = optimiser["state"]
    groups = [dict(group) for group in optimiser["param_groups"]]
    for group in groups:
        for what in ("params", "param_names"):
            if what in group:
                group[what] = [done.names.get(name, name) for name in group[what]]
    by_name = any(isinstance(name, str) for name in own)
    moved = {**optimiser, "param_groups": groups}
    if by_name:
        moved["state"] = {done.names.get(name, name): value for name, value in own.items()}
        return moved, "renamed with its parameters"
    if not _is_in_order(own, state):
        return dict(optimiser), "left as it is, for it is of other parameters"
    if all(_keeps_order(one, state) for one in done.found.values()):
        return moved, "kept, for its parameters keep their order"
    moved["state"] = {}
    return moved, "its state is dropped, for the order of its parameters changes"


def _is_in_order(own: Mapping[Any, Any], state: Mapping[str, Any]) -> bool:
    """Whether the shapes of an optimiser's state are those of a model's parameters, in order."""
    there = iter([tuple(value.shape) for value in state.values() if isinstance(value, Tensor)])
    for _, values in sorted(own.items()):
        shapes = {
            tuple(one.shape) for one in values.values() if isinstance(one, Tensor) and one.dim()
        }
        if shapes and not any(shape in shapes for shape in there):
            return False
    return True


def _keeps_order(one: Stack, state: Mapping[str, Any]) -> bool:
    """Whether the weights of a stack stand together, layer by layer, as nn.GRU's do."""
    wanted = [keys[name] for keys in one.keys for name in sorted(keys, key=PARAMETERS.index)]
    order = list(state)
    first = order.index(wanted[0])
    return order[first : first + len(wanted)] == wanted
