"""Torch's own settings, which a target may change for everybody: kept, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

#: By name: how a setting is read, and how it is set.
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
#: Torch leaves inference mode, or goes back to it, by such guards only, while they live.
_guards: list[torch.inference_mode] = []


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put torch's settings back afterwards, whatever was done to them."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    inferring = torch.is_inference_mode_enabled()
    try:
        yield
    finally:
        if torch.is_inference_mode_enabled() != inferring:
            _guards.append(torch.inference_mode(inferring))
            _guards[-1].__enter__()  # which sets the grad mode as well
        for name, (read, write) in SETTINGS.items():
            if read() != before[name]:  # some of them import half of torch as they are set
                write(before[name])
