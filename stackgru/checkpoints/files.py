"""Checkpoint files: read without executing pickled code, converted, and written atomically."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stackgru.checkpoints.formats import layers_in
from stackgru.checkpoints.others import Cells, container_of, dotted, read_cells
from stackgru.checkpoints.state_dict import (
    Choice,
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

    ``metadata`` is what a safetensors file has besides its tensors. ``cells`` are the GRU layers of
    another framework's file, of which the content is a state dict.
    """

    content: Any
    metadata: dict[str, str] | None = None
    is_safe: bool = False
    cells: Cells | None = None


@dataclass
class Converted:
    """How a checkpoint was converted.

    Attributes:
        key: the key of its state dict; empty if it is one itself.
        names: the new name of each renamed key.
        found: the stacks or GRUs that were converted, by their new names.
        notes: what was done with the state of each optimiser.
        is_rounded: whether biases were added, so that results agree within rounding only.
    """

    key: str
    names: dict[str, str]
    found: dict[str, LayerKeys]
    notes: list[str] = field(default_factory=list)
    is_rounded: bool = False


def read(path: Path, *, trust: bool = False, is_safe: bool | None = None) -> Checkpoint:
    """Read a checkpoint; ``trust`` allows it to execute code.

    ``is_safe`` says whether it is a safetensors file; None decides by the name. Where this build of
    torch can, tensors stay in the file until they are used.
    """
    container = container_of(path)
    # What is known by its name alone may be anything.
    what = what_else(path) if container in (None, "onnx", "msgpack") else ""
    if what:
        raise ConversionError(f"{path} {what}")
    if container is not None:
        return _of_cells(read_cells(path, container))
    if path.suffix == _SAFE if is_safe is None else is_safe:
        found = _read_safetensors(path)
        is_torch = any(stacks(found.content, to) for to in ("gru", "cell"))
        if not is_torch and any(layers_in(dotted(found.content))):
            return _of_cells(read_cells(path, "safetensors"))
        return found
    content = _read_pickled(path, trust=trust)
    if isinstance(content, torch.nn.Module):
        raise ConversionError(
            f"{path} contains a whole {type(content).__name__}; save its state dict instead"
        )
    return Checkpoint(content)


def _of_cells(cells: Cells) -> Checkpoint:
    return Checkpoint(cells.state(), cells=cells)


def _read_pickled(path: Path, *, trust: bool) -> Any:
    """Read a file of torch.save's, and allow the harmless classes that it names."""
    allowed: list[Any] = []
    while True:
        try:
            with _allowing(allowed):
                return _load(path, weights_only=not trust)
        except pickle.UnpicklingError as error:
            if trust:
                raise ConversionError(
                    f"{path} is not a checkpoint that torch can read: {error}"
                ) from error
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            known = _harmless(named[1]) if named else None
            if known is not None and known not in allowed and _can_allow():
                allowed.append(known)
                continue
            if not _may_be_pickled(path) or (named is None and not _GLOBAL.search(str(error))):
                raise ConversionError(
                    f"{path} is not a checkpoint that torch can read: it is damaged, or of another "
                    "format"
                ) from error
            if _FLOAT.search(str(error)):
                raise ConversionError(
                    f"{path} contains numbers with a decimal point, such as a learning rate, which "
                    f"torch {torch.__version__} reads only with --trust, where loading "
                    "it could execute code; a newer torch reads them without"
                ) from error
            also = f", {named[1]}," if named else ""
            raise ConversionError(
                f"{path} contains more than tensors and plain values{also} and loading it could "
                "execute code; if you trust the file, pass --trust"
            ) from error
        except Exception as error:  # what torch raises for a broken file differs between versions
            lines = str(error).splitlines() or [""]
            what = f"{type(error).__name__}: {lines[0].partition('. ')[0]}"
            if "central directory" in what:
                what = "it is cut off"
            elif isinstance(error, (KeyError, EOFError, IndexError)):
                what = "it is damaged, or of another format"
            raise ConversionError(
                f"{path} is not a checkpoint that torch can read: {what}"
            ) from error


def _load(path: Path, *, weights_only: bool) -> Any:
    keywords: dict[str, Any] = {"map_location": "cpu", "weights_only": weights_only}
    if zipfile.is_zipfile(path) and "mmap" in inspect.signature(torch.load).parameters:
        keywords["mmap"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.0 warns of what it does itself
        return torch.load(str(path), **keywords)  # torch 2.1 maps no other


#: Classes whose objects only hold values.
_HARMLESS = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.defaultdict",
    "collections.Counter",
    "collections.deque",
    "datetime.datetime",
    "datetime.date",
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    *(
        f"builtins.{name}"
        for name in ("bool", "dict", "float", "int", "list", "set", "str", "tuple")
    ),
}
#: What torch says of a class that it does not allow, in its versions.
_GLOBAL = re.compile(r"GLOBAL|global|[Uu]nsupported (class|operand)|weights_only|opcode")
#: What torch 1.13 says of a float.
_FLOAT = re.compile(rf"[Uu]nsupported operand {ord(pickle.BINFLOAT)}\b")


def _harmless(name: str) -> Any:
    """Return the class of this name if it is known to do nothing, or None."""
    name = name if "." in name else f"builtins.{name}"
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute) if name in _HARMLESS else None


def _can_allow() -> bool:
    return hasattr(torch.serialization, "add_safe_globals")


@contextlib.contextmanager
def _allowing(classes: list[Any]) -> Iterator[None]:
    """Allow classes in files of torch.save's."""
    if not classes:
        yield
        return
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(classes)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


#: How files begin that are taken for checkpoints, and what they are.
_OTHERS = {
    b"version https://git-lfs": "is a Git LFS pointer; `git lfs pull` fetches the file itself",
    b"\x1f\x8b": "is compressed by gzip; unpack it first",
    b"<!DOCTYPE": "is a page of HTML, as a failed download leaves it",
    b"<html": "is a page of HTML, as a failed download leaves it",
    b"\x93NUMPY": "is a NumPy array, which is no torch checkpoint",
}
#: What a zip file contains that is not torch's.
_MEMBERS = {
    "config.json": "is a Keras file without weights",
    "constants.pkl": "is a TorchScript archive; save its state dict instead",
}


def _may_be_pickled(path: Path) -> bool:
    """Whether a file is a zip archive, or begins as a pickle of protocol 2 to 5 does."""
    with path.open("rb") as file:
        head = file.read(2)
    return head == b"PK" or (head[:1] == b"\x80" and 2 <= head[-1] <= 5)


def what_else(path: Path) -> str:
    """Return what a file is that is no checkpoint, or nothing.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "is empty"
    for start, what in _OTHERS.items():
        if head.startswith(start):
            return what
    if head.lstrip().startswith(b"{"):
        return _what_json(path)
    if head.startswith(b"PK"):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            for end, what in _MEMBERS.items():
                if any(name.endswith(end) for name in members):
                    return what
    return ""


def _what_json(path: Path) -> str:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return ""
    parts = data.get("weight_map") if isinstance(data, dict) else None
    if isinstance(parts, dict):
        files = ", ".join(sorted(set(map(str, parts.values())))[:4])
        return f"is the index of a checkpoint in several files; convert each of them: {files}"
    return "is a JSON file, which is no checkpoint"


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else "safetensors"
        raise ConversionError(f"reading {path} requires the package {missing}") from error
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
            try:
                from safetensors import SafetensorError
                from safetensors.torch import save_file

                try:
                    save_file(checkpoint.content, temporary, metadata=checkpoint.metadata)
                except SafetensorError as error:
                    raise OSError(str(error)) from error
            except ModuleNotFoundError as error:
                raise ConversionError(
                    f"writing {path} requires the package {error.name}"
                ) from error
        else:
            save(checkpoint.content, temporary)
        check(temporary)


def save(content: Any, path: Path) -> None:
    """Save as torch.save does, also on a build where that cannot be done by C's pickler.

    torch 2.5 sets an attribute of it that Python 3.13 does not let it set.
    """
    with path.open("wb") as file:  # by its path, its name would be in it
        try:
            torch.save(content, file)
        except AttributeError:
            file.seek(0)
            file.truncate()
            torch.save(content, file, pickle_module=_InPython)


class _InPython:
    """The part of the module pickle that torch.save needs, written in Python."""

    Pickler = pickle._Pickler


def convert(
    checkpoint: Checkpoint, to: To, key: str | None, choice: Choice
) -> tuple[Checkpoint, Converted]:
    """Return a checkpoint with its state dict and the state of its optimisers converted.

    ``key`` is the dotted key of the state dict, which is searched for if None.
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
    found, names = renaming(state, to, choice)
    done = Converted(key, names, found)
    changed = _replaced(content, key, renamed(state, names))
    for place, optimiser in _mappings(content):
        if {"state", "param_groups"} <= set(optimiser):
            moved, note = _moved(optimiser, state, done)
            changed = _replaced(changed, place, moved)
            done.notes.append(f"optimiser {place!r}: {note}")
    return Checkpoint(changed, checkpoint.metadata, checkpoint.is_safe), done


def convert_into(
    cells: Cells, checkpoint: Checkpoint, key: str | None, choice: Choice
) -> tuple[dict[str, Tensor], dict[str, Tensor], Converted]:
    """Return the weights of a GRU, the same as cells of another framework's file, and how.

    The GRU becomes all layers of the file, in their order, if there are as many and the choice says
    nothing else; both ways, if the second is called backward.
    """
    places = [place for place, one in _mappings(checkpoint.content) if stacks(one, "cell")]
    if key is None and len(places) == 1:
        key = places[0]
    there = stacks(state_at(checkpoint.content, key or ""), "cell")
    names = tuple(cells.layers)
    if len(there) == 1 and len(there[0].every) == len(names):
        if there[0].back and not choice.both_ways and "backward" in names[-1]:
            choice = replace(choice, both_ways=names)
        elif not there[0].back and not choice.stack:
            choice = replace(choice, stack=names)
    new, done = convert(checkpoint, "cell", key, choice)
    old, state = (state_at(one.content, done.key) for one in (checkpoint, new))
    missing = sorted({name.rpartition(".")[0] for name in done.names.values()} - {*names})
    if missing:
        listed = ", ".join(map(repr, names))
        raise ConversionError(
            f"there is no {', '.join(map(repr, missing))} in the other file, only {listed}; name "
            "its layers with --stack or --both-ways"
        )
    own = {name: old[name] for name in done.names}
    return own, {name: state[name] for name in done.names.values()}, replace(done, notes=[])


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
    ways = zip(one.keys, one.back, strict=True) if one.back else zip(one.keys)
    layers = [keys for both in ways for keys in both]
    wanted = [keys[name] for keys in layers for name in sorted(keys, key=PARAMETERS.index)]
    order = list(state)
    first = order.index(wanted[0])
    return order[first : first + len(wanted)] == wanted
