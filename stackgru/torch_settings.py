"""Global settings that a target may change: torch's, Python's and NumPy's; known, and put back."""

from __future__ import annotations

import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch


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


def _flag(name: str, known: Any) -> Setting:
    """Return a flag of torch's that only its own module reads and sets."""
    return Setting(getattr(torch._C, f"_get_{name}"), getattr(torch._C, f"_set_{name}"), known)


_FLAGS = {
    "cudnn_enabled": True,
    "cudnn_benchmark": False,
    "cudnn_deterministic": False,
    "mkldnn_enabled": True,
}

SETTINGS: dict[str, Setting] = {
    "the default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads, 1),
    "the deterministic-algorithms flag": Setting(
        torch.are_deterministic_algorithms_enabled,
        lambda flag: torch.use_deterministic_algorithms(flag, warn_only=True),
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
    "the filters of warnings": Setting(lambda: list(warnings.filters), _set_filters),
    "the number of Python's threads": Setting(threading.active_count, lambda count: None),
    "Python's random generator": Setting(random.getstate, random.setstate),
    "NumPy's random generator": Setting(_numpys_state, _set_numpys_state),
}
#: Torch enters or leaves inference mode only by guards like these, for as long as they live.
_guards: list[torch.inference_mode] = []


@contextmanager
def settings_kept() -> Iterator[None]:
    """Restore all settings afterwards."""
    before = {name: setting.read() for name, setting in SETTINGS.items()}
    inferring = torch.is_inference_mode_enabled()
    try:
        yield
    finally:
        if torch.is_inference_mode_enabled() != inferring:
            _guards.append(torch.inference_mode(inferring))
            _guards[-1].__enter__()  # which also sets the grad mode
        for name, setting in SETTINGS.items():
            if setting.read() != before[name]:  # setting some of them imports half of torch
                setting.write(before[name])


@contextmanager
def settings_known() -> Iterator[None]:
    """Give each setting its known value, and restore all afterwards."""
    with settings_kept():
        for setting in SETTINGS.values():
            if setting.known is not None and setting.read() != setting.known:
                setting.write(setting.known)
        yield
