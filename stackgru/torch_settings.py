"""Torch's global settings, which a target may change: saved and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

#: How each setting is read and set, by name.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the deterministic-algorithms flag": (
        torch.are_deterministic_algorithms_enabled,
        lambda flag: torch.use_deterministic_algorithms(flag, warn_only=True),
    ),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
}
#: Torch enters or leaves inference mode only by guards like these, for as long as they live.
_guards: list[torch.inference_mode] = []


@contextmanager
def settings_kept() -> Iterator[None]:
    """Restore torch's settings afterwards."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    inferring = torch.is_inference_mode_enabled()
    try:
        yield
    finally:
        if torch.is_inference_mode_enabled() != inferring:
            _guards.append(torch.inference_mode(inferring))
            _guards[-1].__enter__()  # which also sets the grad mode
        for name, (read, write) in SETTINGS.items():
            if read() != before[name]:  # setting some of them imports half of torch
                write(before[name])
