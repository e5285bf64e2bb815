"""Torch's own settings, watched around a call: none of them is a module's to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stackgru.evidence import Violation
from stackgru.pairs import Pair

#: By name: how a setting is read, and how it is set.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the deterministic-algorithms flag": (
        torch.are_deterministic_algorithms_enabled,
        lambda flag: torch.use_deterministic_algorithms(flag, warn_only=True),
    ),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
}


def grad_mode(pair: Pair) -> torch.set_grad_enabled:
    """Return what sets the grad mode in which people call: gradients in training only."""
    return torch.set_grad_enabled(pair.case.mode == "train")


@contextmanager
def settings_watched(pair: Pair) -> Iterator[None]:
    """Set torch's settings to values of the case, and put them back.

    Values of the case, because loading has called the target already: what it sets in every call
    would otherwise be there before. The grad mode is that in which people call.

    Raises:
        Violation: if one of them was changed within.
    """
    case = pair.case
    wanted = {
        "the default dtype": torch.float32,
        "the number of threads": 1 if case.seed % 8 else 2,  # the second costs much on busy cores
        "the deterministic-algorithms flag": bool(case.seed % 2),
        "anomaly detection": False,  # on, it warns and costs time
        "the grad mode": case.mode == "train",
    }
    before = {name: read() for name, (read, _) in _SETTINGS.items()}
    try:
        for name, (_, write) in _SETTINGS.items():
            write(wanted[name])
        yield
        for name, (read, _) in _SETTINGS.items():
            if read() != wanted[name]:
                raise Violation(f"{name} is {read()} after a call, and was {wanted[name]} before")
        if torch.is_inference_mode_enabled():
            raise Violation("inference mode is on after a call, and was off before")
    finally:
        for name, (_, write) in _SETTINGS.items():
            write(before[name])
