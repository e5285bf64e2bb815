"""Checkpoint files: read without executing pickled code, converted, and written atomically."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from stackgru.checkpoints.state_dict import (
    ConversionError,
    LayerKeys,
    To,
    renamed,
    renaming,
    stacks,
)
from stackgru.gru.parameters import PARAMETERS
from stackgru.options import did_you_mean
from stackgru.report.files import replacing

_SAFE = ".safetensors"


@dataclass
class Checkpoint:
    """The content of a file: a state dict, or dicts that contain one.

    ``metadata`` is what a safetensors file has besides its tensors.
    """

    content: Any
    metadata: dict[str, str] | None = None
    is_safe: bool = False


@dataclass
class Converted:
    """How a checkpoint was converted.

    Attributes:
        key: the key of its state dict; empty if it is one itself.
        names: the new name of each renamed key.
        found: the stacks or GRUs that were converted, by their new names.
        notes: what was done with the state of each optimiser.
    """

    key: str
    names: dict[str, str]
    found: dict[str, LayerKeys]
    notes: list[str] = field(default_factory=list)


def read(
    path: Path, file: BinaryIO, *, trust: bool = False, is_safe: bool | None = None
) -> Checkpoint:
    """Read a checkpoint from an open file; ``trust`` allows it to execute code.

    ``is_safe`` says whether it is a safetensors file; None decides by the name.
    """
    if path.suffix == _SAFE if is_safe is None else is_safe:
        return _read_safetensors(path)
    try:
        content = torch.load(file, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust:
            raise ConversionError(
                f"{path} is not a checkpoint that torch can read: {error}"
            ) from error
        raise ConversionError(
            f"{path} contains more than tensors and plain values, and loading it could execute "
            "code; if you trust the file, pass --trust"
        ) from error
    except Exception as error:  # what torch raises for a broken file differs between versions
        lines = str(error).splitlines() or [""]
        what = f"{type(error).__name__}: {lines[0].partition('. ')[0]}"
        raise ConversionError(f"{path} is not a checkpoint that torch can read: {what}") from error
    if isinstance(content, torch.nn.Module):
        raise ConversionError(
            f"{path} contains a whole {type(content).__name__}; save its state dict instead"
        )
    return Checkpoint(content)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConversionError(f"reading {path} requires the package safetensors") from error
    try:
        with safe_open(path, "pt") as file:
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return Checkpoint(content, file.metadata(), is_safe=True)
    except SafetensorError as error:
        raise ConversionError(f"{path} is not a safetensors file: {error}") from error


def write(path: Path, checkpoint: Checkpoint, check: Callable[[Path], None]) -> None:
    """Write a checkpoint in the format that it was read in.

    If ``check`` raises for the file that was written, or writing fails with an OSError, nothing is
    put at ``path``, and a file that was there stays.
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
    """Return a checkpoint with its state dict and the state of its optimisers converted.

    ``key`` is the dotted key of the state dict, which is searched for if None; see
    convert_state_dict for the other arguments.
    """
    content = checkpoint.content
    places = [place for place, one in _mappings(content) if stacks(one, to)]
    if key is None:
        if len(places) > 1:
            raise ConversionError(
                "more than one state dict can be converted; pass one of "
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
    """Return the mapping at a key of a checkpoint, or raise a ConversionError."""
    every = dict(_mappings(content))
    if key not in every:
        raise ConversionError(f"there is no state dict at {key!r}{did_you_mean(key, every)}")
    return every[key]


def _mappings(content: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every mapping with string keys in a checkpoint, with its dotted key.

    In lists, in which Lightning keeps optimisers, a key is an index.
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
    """Return a copy of the content with another mapping at a place."""
    if not place:
        return new
    items = enumerate(content) if isinstance(content, list) else content.items()
    around = [
        key
        for key, value in items
        if isinstance(value, (Mapping, list)) and f"{place}.".startswith(f"{key}.")
    ]
    key = max(around, key=lambda one: len(str(one)))  # a key may itself contain a dot
    copied = content.copy()
    copied[key] = _replaced(content[key], place[len(f"{key}.") :], new)
    return copied


def _moved(
    optimiser: Mapping[str, Any], state: Mapping[str, Any], done: Converted
) -> tuple[dict[str, Any], str]:
    """Return an optimiser's state under the new names, and a note on what was done with it."""
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
        return dict(optimiser), "left unchanged, since it belongs to other parameters"
    if all(_keeps_order(one, state) for one in done.found.values()):
        return moved, "kept, since its parameters keep their order"
    moved["state"] = {}
    return moved, "state dropped, since the order of its parameters changes"


def _is_in_order(own: Mapping[Any, Any], state: Mapping[str, Any]) -> bool:
    """Whether the shapes of an optimiser's state are those of the model's parameters, in order."""
    there = iter([tuple(value.shape) for value in state.values() if isinstance(value, Tensor)])
    for _, values in sorted(own.items()):
        shapes = {
            tuple(one.shape) for one in values.values() if isinstance(one, Tensor) and one.dim()
        }
        if shapes and not any(shape in shapes for shape in there):
            return False
    return True


def _keeps_order(one: LayerKeys, state: Mapping[str, Any]) -> bool:
    """Whether the weights of a stack are adjacent and ordered by layer, as nn.GRU's are."""
    wanted = [keys[name] for keys in one.keys for name in sorted(keys, key=PARAMETERS.index)]
    order = list(state)
    first = order.index(wanted[0])
    return order[first : first + len(wanted)] == wanted
