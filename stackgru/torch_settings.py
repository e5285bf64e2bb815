"""Global settings that a target may change: torch's, Python's and NumPy's; known, and put back."""

from __future__ import annotations

import os
import random
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import _python_dispatch


class Setting(NamedTuple):
    """A setting.

    Attributes:
        read: returns its value.
        write: sets it.
        known: its value before each law; None if any will do.
    """

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    known: Any = None


def _flushes_denormals() -> bool:
    return bool(torch.tensor(5e-324, dtype=torch.float64, device="cpu") * 1 == 0)


def _default_device() -> str:
    return str(torch.empty(0).device)


def _numpys_state() -> tuple[Any, ...] | None:
    """Return the state of NumPy's generator, if anything has imported NumPy."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    name, numbers, *rest = numpy.random.get_state()
    return (name, numbers.tobytes(), *rest)


def _set_numpys_state(state: tuple[Any, ...] | None) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is not None and state is not None:
        name, numbers, *rest = state
        numpy.random.set_state((name, numpy.frombuffer(numbers, dtype=numpy.uint32), *rest))


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]


_NAMESPACES = {
    "torch": torch,
    "torch.nn.functional": nn.functional,
    "torch.Tensor": torch.Tensor,
    **{f"torch.nn.{one.__name__}": one for one in (nn.Module, nn.RNNBase, nn.GRU, nn.GRUCell)},
}
#: The functions in each, None for those that a class inherits.
_FUNCTIONS: dict[str, dict[str, Any]] = {
    name: {key: vars(space).get(key) for key in dir(space) if callable(getattr(space, key, None))}
    for name, space in _NAMESPACES.items()
}
#: All that each held when it was last seen to be in order, to see so again at once.
_IN_ORDER: dict[str, dict[str, Any]] = {}


class _Replaced(dict[str, Any]):
    """Functions of torch's that are others than when this module was imported, by name."""

    def __str__(self) -> str:
        return ", ".join(self) or "none"


def _replaced() -> _Replaced:
    found = _Replaced()
    for name, space in _NAMESPACES.items():
        if vars(space) == _IN_ORDER.get(name):
            continue
        now = {key: vars(space).get(key) for key in _FUNCTIONS[name]}
        found.update(
            {
                f"{name}.{key}": now[key]
                for key, own in _FUNCTIONS[name].items()
                if now[key] is not own and not _is_torchs_own(now[key])
            }
        )
        if not found:
            _IN_ORDER[name] = dict(vars(space))
    return found


def _is_torchs_own(function: Any) -> bool:
    """Whether torch has replaced a function itself, as torch.compile does with manual_seed."""
    place = str(getattr(function, "__globals__", {}).get("__name__", ""))
    return place.partition(".")[0] == "torch"


def _replace(wanted: _Replaced) -> None:
    """Put torch's own functions back, and others in the place of some."""
    for name in {**_replaced(), **wanted}:
        place, _, key = name.rpartition(".")
        value = wanted.get(name, _FUNCTIONS[place][key])
        if value is None:  # it was inherited
            delattr(_NAMESPACES[place], key)
        else:
            setattr(_NAMESPACES[place], key, value)


def _flag(name: str, known: Any) -> Setting:
    """Return a flag of torch's that only its own module reads and sets."""
    return Setting(getattr(torch._C, f"_get_{name}"), getattr(torch._C, f"_set_{name}"), known)


_FLAGS = {
    # Its fused kernels show no masks, do not follow a seed and cannot go back in eval.
    "cudnn_enabled": False,
    "cudnn_benchmark": False,
    "cudnn_deterministic": False,
    "mkldnn_enabled": True,
}

#: Torch enters or leaves inference mode only by guards like these, for as long as they live.
_guards: list[torch.inference_mode] = []


def _set_inference_mode(flag: bool) -> None:
    _guards.append(torch.inference_mode(flag))
    _guards[-1].__enter__()


def _set_deterministic(flag: bool) -> None:
    """Set the flag, and that of torch's compiler, but do not import that for it."""
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(flag, warn_only=True)
    else:
        torch._C._set_deterministic_algorithms(flag, warn_only=True)


SETTINGS: dict[str, Setting] = {
    # Before the grad mode, which this sets as well.
    "inference mode": Setting(torch.is_inference_mode_enabled, _set_inference_mode, False),
    "the default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads, 1),
    "the deterministic-algorithms flag": Setting(
        torch.are_deterministic_algorithms_enabled,
        _set_deterministic,
        False,
    ),
    "anomaly detection": Setting(
        torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False
    ),
    "the grad mode": Setting(torch.is_grad_enabled, torch._C._set_grad_enabled, True),
    "the float32 matmul precision": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    ),
    "flushing of denormal numbers": Setting(_flushes_denormals, torch.set_flush_denormal, False),
    "the default device": Setting(
        _default_device, lambda device: torch.set_default_device(device), "cpu"
    ),
    **{
        f"torch's flag {name}": _flag(name, known)
        for name, known in _FLAGS.items()
        if hasattr(torch._C, f"_set_{name}")
    },
    "functions of torch's that are replaced": Setting(_replaced, _replace, _Replaced()),
    "the working directory": Setting(os.getcwd, os.chdir),
    "the filters of warnings": Setting(lambda: list(warnings.filters), _set_filters),
    "the number of Python's threads": Setting(threading.active_count, lambda count: None),
    "Python's random generator": Setting(random.getstate, random.setstate),
    "NumPy's random generator": Setting(_numpys_state, _set_numpys_state),
}


def settings_read() -> dict[str, Any]:
    """Return the value of each setting, and of a long one a number that stands for it."""
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        value = setting.read()
        text = str(value)
        is_shown = isinstance(value, (str, _Replaced))
        found[name] = text if is_shown else value if len(text) <= 20 else zlib.crc32(text.encode())
    return found


@contextmanager
def settings_kept() -> Iterator[None]:
    """Restore all settings afterwards."""
    before = {name: setting.read() for name, setting in SETTINGS.items()}
    try:
        yield
    finally:
        for name, setting in SETTINGS.items():
            if setting.read() != before[name]:  # setting some of them imports half of torch
                setting.write(before[name])


@contextmanager
def without_cudnn() -> Iterator[None]:
    """Run without cuDNN, as the laws do."""
    setting = SETTINGS["torch's flag cudnn_enabled"]
    before = setting.read()
    setting.write(False)
    try:
        yield
    finally:
        setting.write(before)


@contextmanager
def settings_known() -> Iterator[None]:
    """Give each setting its known value, and restore all afterwards."""
    with settings_kept():
        make_known()
        yield


def make_known() -> None:
    """Give each setting its known value, if it has one."""
    for setting in SETTINGS.values():
        if setting.known is not None and setting.read() != setting.known:
            setting.write(setting.known)


def unseen() -> AbstractContextManager[object]:
    """Return a context in which nobody records or replaces what torch does."""
    context: AbstractContextManager[object]
    context = getattr(_python_dispatch, "_disable_current_modes", _without_modes)()
    return context


@contextmanager
def _without_modes() -> Iterator[None]:
    """Take torch 1.13's modes from their stack, and put them back."""
    dispatch: Any = _python_dispatch
    modes = [dispatch._pop_mode() for _ in dispatch._get_current_dispatch_mode_stack()]
    try:
        yield
    finally:
        for mode in reversed(modes):
            dispatch._push_mode(mode)
