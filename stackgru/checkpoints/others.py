"""Files of other frameworks: the GRU layers in them, read as cells of torch's and written back.

Read and written are the arrays alone; nothing in a file is executed, and all else in it is kept.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stackgru.checkpoints.formats import Format, layers_in
from stackgru.checkpoints.state_dict import ConversionError

_WEIGHTS = "model.weights.h5"  # in a .keras file
_CONFIG = "config.json"
#: Keras numbers a layer's weights, and puts it into groups that its name does not tell.
_NUMBERED = ("kernel", "recurrent_kernel", "bias")
_GROUPS = {"layers", "cell", "vars", "_layer_checkpoint_dependencies", "model_weights"}
#: What nn.GRU is, in Keras' words.
_KERAS = {"reset_after": True, "activation": "tanh", "recurrent_activation": "sigmoid"}
_KERAS_LAYERS = {"GRU", "GRUCell"}
_NDARRAY = 1  # the code of an array in a file of flax.serialization's
#: What an ONNX node may say that nn.GRU does not do.
_ONNX = {"linear_before_reset": 1, "layout": 0, "clip": 0.0}
_ACTIVATIONS = ("sigmoid", "tanh")


@dataclass(frozen=True)
class Cells:
    """The GRU layers of a file.

    Attributes:
        layers: how each is stored: its format, and the names of its arrays.
        arrays: the arrays, by names with dots.
    """

    layers: Mapping[str, tuple[Format, Mapping[str, str]]]
    arrays: Mapping[str, Tensor]

    def with_arrays(self, arrays: Mapping[str, Tensor]) -> Cells:
        """Return the same with other arrays in the place of these."""
        return replace(self, arrays={**self.arrays, **arrays})

    def state(self) -> dict[str, Tensor]:
        """Return them as a state dict of cells."""
        return {
            f"{name}.{key}" if name else key: value
            for name, (form, keys) in self.layers.items()
            for key, value in form.layer(self._of(keys)).items()
        }

    def changed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the arrays that hold these cells, of which each must be there.

        Raises:
            ConversionError: if they do not fit.
        """
        found = {}
        for name, (form, keys) in self.layers.items():
            before = f"{name}." if name else ""
            own = {
                key.removeprefix(before): value
                for key, value in state.items()
                if key.rpartition(".")[0] == name
            }
            if not own:
                continue
            stored = form.stored(own)
            for key, old in self._of(keys).items():
                new = stored.get(key)
                if new is None:
                    new = torch.zeros_like(old)
                if new.shape != old.shape or new.dtype != old.dtype:
                    raise ConversionError(
                        f"{name!r} has {key} of {tuple(old.shape)} in {old.dtype}, not of "
                        f"{tuple(new.shape)} in {new.dtype}"
                    )
                found[keys[key]] = new
            left = stored.keys() - keys.keys()
            if any(bool(stored[key].any()) for key in left):
                raise ConversionError(f"{name!r} has no {' and '.join(sorted(left))}")
        return found

    def _of(self, keys: Mapping[str, str]) -> dict[str, Tensor]:
        return {name: self.arrays[key] for name, key in keys.items()}


def cells_in(path: Path, arrays: Mapping[str, Tensor]) -> Cells:
    """Return the GRU layers among arrays.

    Raises:
        ConversionError: if there are none.
    """
    for name, value in arrays.items():
        before = name.removesuffix("recurrent_kernel")
        bias = arrays.get(f"{before}bias")
        if before != name and bias is not None and bias.shape == (3 * len(value),):
            raise ConversionError(
                f"{before.removesuffix('.')!r} in {path} has one bias: reset_after is False, so "
                "the reset gate is applied before the product, which is no nn.GRU"
            )
    found = {name: (form, keys) for name, form, keys in layers_in(arrays)}
    if not found:
        raise ConversionError(f"no GRU found in {path}")
    return Cells(found, arrays)


def container_of(path: Path) -> str | None:
    """Return what a file of another framework is; None for other files, and for torch's."""
    with path.open("rb") as file:
        head = file.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if path.suffix in (".onnx", ".msgpack"):
        return path.suffix[1:]
    if head.startswith(b"PK"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if _WEIGHTS in names:
                return "keras"
            if names and all(name.endswith(".npy") for name in names):
                return "npz"
    return None


def read_cells(path: Path, container: str) -> Cells:
    """Return the GRU layers of a file of another framework; see container_of.

    Raises:
        ConversionError: if there are none, if one is no nn.GRU, or a package is missing.
    """
    return _CONTAINERS[container][0](path)


def write_like(like: Path, target: Path, container: str, arrays: Mapping[str, Tensor]) -> None:
    """Write a copy of a file with other values in these arrays, by the names of read_cells.

    Raises:
        OSError: if it cannot be written.
    """
    _CONTAINERS[container][1](like, target, arrays)


def _package(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConversionError(f"{path} requires the package {error.name}") from error


@contextmanager
def _damage_said(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a library raises for a file that it cannot read into a sentence."""
    try:
        yield
    except errors as error:
        line = (str(error).splitlines() or [""])[0]
        what = f"{path} is damaged, or of another format: {line}"
        raise ConversionError(what) from error


# NumPy's archives


def _read_npz(path: Path) -> Cells:
    np = _package("numpy", path)
    with _damage_said(path, ValueError, zipfile.BadZipFile), np.load(path) as archive:
        found = {name: _tensor(archive[name]) for name in archive.files}
    return cells_in(path, dotted(found))


def _write_npz(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    import numpy as np

    with np.load(like) as archive:
        found = {name: archive[name] for name in archive.files}
    changed = {name: arrays[one].numpy() for name, one in _names(found) if one in arrays}
    with target.open("wb") as file:
        np.savez(file, **found | changed)


def dotted(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by names with dots in place of slashes."""
    return {one: arrays[name] for name, one in _names(arrays)}


def _names(arrays: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, name.replace("/", ".")) for name in arrays]


def _tensor(value: Any) -> Tensor:
    """Return an array as a tensor, and what is no number as an empty one."""
    return torch.from_numpy(value.copy()) if value.dtype.kind == "f" else torch.empty(0)


# Keras' files


def _read_keras(path: Path) -> Cells:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(_CONFIG)) if _CONFIG in archive.namelist() else {}
        _assert_keras_is_gru(path, config)
        content = io.BytesIO(archive.read(_WEIGHTS))
    return _cells_in_hdf5(path, content, config)


def _read_hdf5(path: Path) -> Cells:
    return _cells_in_hdf5(path, path, {})


def _cells_in_hdf5(path: Path, content: Any, config: Mapping[str, Any]) -> Cells:
    h5py = _package("h5py", path)
    with _damage_said(path, OSError), h5py.File(content, "r") as file:
        if not config and "model_config" in file.attrs:
            config = json.loads(file.attrs["model_config"])
            _assert_keras_is_gru(path, config)
        arrays = {name: _tensor(file[place][()]) for name, place in _named_in(file, h5py).items()}
    found = cells_in(path, arrays)
    if not config and any("bias" not in keys for _, keys in found.layers.values()):
        raise ConversionError(
            f"{path} has a GRU without biases, and only a model's .keras file tells whether its "
            "reset gate is applied after the product, as nn.GRU's is"
        )
    return found


def _named_in(file: Any, h5py: Any) -> dict[str, str]:
    """Return the places of arrays in a file by their names, with dots."""
    every: list[tuple[str, Any]] = []
    file.visititems(lambda *one: every.append(one))
    found = {}
    places = (place for place, one in every if isinstance(one, h5py.Dataset))
    for place in sorted(places, key=_in_turn):
        *groups, last = place.removesuffix(":0").split("/")
        if groups and groups[-1] == "vars" and last in "012":
            last = _NUMBERED[int(last)]
        found[".".join([*(one for one in groups if one not in _GROUPS), last])] = place
    return found


def _in_turn(place: str) -> list[tuple[bool, str, int]]:
    """Return what orders layers as Keras numbers them, what goes forward first."""
    parts = re.split(r"(\d+)", place)
    return [
        ("backward" in text, text, int(number or 0))
        for text, number in zip(parts[::2], [*parts[1::2], ""], strict=True)
    ]


def _assert_keras_is_gru(path: Path, config: Any) -> None:
    """Raise a ConversionError if a GRU in a model's config computes something else."""
    inner = config.values() if isinstance(config, Mapping) else config
    if isinstance(config, Mapping) and config.get("class_name") in _KERAS_LAYERS:
        own = config.get("config", {})
        for name, expected in _KERAS.items():
            if own.get(name, expected) != expected:
                raise ConversionError(
                    f"{own.get('name')!r} in {path} has {name}={own[name]!r}; nn.GRU has "
                    f"{expected!r}"
                )
    for value in inner:
        if isinstance(value, (Mapping, list)):
            _assert_keras_is_gru(path, value)


def _write_hdf5(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    shutil.copyfile(like, target)
    _change_hdf5(target, arrays)


def _write_keras(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    with zipfile.ZipFile(like) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            content = io.BytesIO(old.read(member))
            if member.filename == _WEIGHTS:
                _change_hdf5(content, arrays)
            new.writestr(member, content.getvalue())


def _change_hdf5(content: Any, arrays: Mapping[str, Tensor]) -> None:
    import h5py

    with h5py.File(content, "r+") as file:
        for name, place in _named_in(file, h5py).items():
            if name in arrays:
                file[place][...] = arrays[name].numpy()


# flax' msgpack


def _read_msgpack(path: Path) -> Cells:
    _package("numpy", path)  # for what writes it again
    tree = _unpacked(path)
    return cells_in(path, {name: value for name, (value, _) in _leaves(tree).items()})


def _unpacked(path: Path) -> Any:
    msgpack = _package("msgpack", path)
    with _damage_said(path, ValueError, msgpack.UnpackException):
        return msgpack.unpackb(path.read_bytes(), raw=False, strict_map_key=False)


def _leaves(tree: Any, name: str = "") -> dict[str, tuple[Tensor, Callable[[Any], None]]]:
    """Return a tree's arrays by name, each with what puts another in its place."""
    import msgpack

    found: dict[str, tuple[Tensor, Callable[[Any], None]]] = {}
    for key, value in tree.items() if isinstance(tree, dict) else ():
        place = f"{name}.{key}" if name else str(key)
        if isinstance(value, msgpack.ExtType) and value.code == _NDARRAY:
            shape, kind, data = msgpack.unpackb(value.data)
            dtype = getattr(torch, kind, None)
            if dtype is not None and dtype.is_floating_point:
                array = torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
                found[place] = array, partial(tree.__setitem__, key)
        found |= _leaves(value, place)
    return found


def _write_msgpack(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    import msgpack

    tree = _unpacked(like)
    for name, (old, put) in _leaves(tree).items():
        if name in arrays:
            data = arrays[name].contiguous().view(torch.uint8).numpy().tobytes()
            kind = str(old.dtype).removeprefix("torch.")
            put(msgpack.ExtType(_NDARRAY, msgpack.packb((list(old.shape), kind, data))))
    target.write_bytes(msgpack.packb(tree))


# ONNX' graphs


def _read_onnx(path: Path) -> Cells:
    onnx = _package("onnx", path)
    arrays = {}
    for name, ways, places in _nodes(path, _loaded(path, onnx), onnx):
        for part, initializer in places.items():
            values = onnx.numpy_helper.to_array(initializer)
            for way, value in zip(ways, values, strict=True):
                arrays[".".join(filter(None, (name, way, part)))] = _tensor(value)
    return cells_in(path, arrays)


def _loaded(path: Path, onnx: Any) -> Any:
    from google.protobuf.message import DecodeError

    with _damage_said(path, DecodeError):
        return onnx.load(path)


def _nodes(
    path: Path, model: Any, onnx: Any
) -> Iterator[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """Yield the GRU nodes of a graph: the name, those of its directions, and its initializers."""
    there = {one.name: one for one in model.graph.initializer}
    for number, node in enumerate(one for one in model.graph.node if one.op_type == "GRU"):
        name = node.name.strip("/").replace("/", ".") or f"gru_{number}"
        said = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if not said.get("linear_before_reset", 0):
            raise ConversionError(
                f"{name!r} in {path} has linear_before_reset = 0: the reset gate is applied before "
                "the product, which is no nn.GRU"
            )
        for key, expected in _ONNX.items():
            if said.get(key, expected) != expected:
                raise ConversionError(f"{name!r} in {path} has {key} = {said[key]}")
        names = tuple(one.decode().lower() for one in said.get("activations", ()))
        if names != _ACTIVATIONS * (len(names) // 2):
            raise ConversionError(f"{name!r} in {path} has activations {', '.join(names)}")
        parts = dict(zip("WRB", [*node.input][1:4], strict=False))
        missing = [part for part, one in parts.items() if one and one not in there]
        if missing:
            raise ConversionError(
                f"{name!r} in {path} gets {' and '.join(missing)} from other nodes, not from "
                "initializers; export it with constant folding"
            )
        both = said.get("direction", b"forward") == b"bidirectional"
        ways = ("forward", "backward") if both else ("",)
        yield name, ways, {part: there[one] for part, one in parts.items() if one}


def _write_onnx(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    import onnx

    model = onnx.load(like)
    for name, ways, places in _nodes(like, model, onnx):
        for part, initializer in places.items():
            keys = [".".join(filter(None, (name, way, part))) for way in ways]
            if all(key in arrays for key in keys):
                value = torch.stack([arrays[key] for key in keys]).numpy()
                new = onnx.numpy_helper.from_array(value, initializer.name)
                initializer.CopyFrom(new)
    onnx.save(model, target)


# safetensors of flax', MLX' and others'


def _read_safetensors(path: Path) -> Cells:
    from safetensors.torch import load_file

    return cells_in(path, dotted(load_file(path)))


def _write_safetensors(like: Path, target: Path, arrays: Mapping[str, Tensor]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(like, "pt") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    new = {name: arrays.get(one, old[name]) for name, one in _names(old)}
    save_file(new, target, metadata=metadata)


#: What reads the GRU layers of a file, and what writes others into a copy of it.
_CONTAINERS: Mapping[str, tuple[Callable[[Path], Cells], Callable[..., None]]] = {
    "hdf5": (_read_hdf5, _write_hdf5),
    "keras": (_read_keras, _write_keras),
    "npz": (_read_npz, _write_npz),
    "msgpack": (_read_msgpack, _write_msgpack),
    "onnx": (_read_onnx, _write_onnx),
    "safetensors": (_read_safetensors, _write_safetensors),
}
