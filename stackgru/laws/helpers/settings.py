"""Torch's own settings, watched around a call: no module may change them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.torch_settings import SETTINGS, settings_kept


@contextmanager
def settings_watched(pair: Pair, what: str = "a call") -> Iterator[None]:
    """Set torch's settings to values of the case, and put them back after ``what``.

    Values of the case, because probing has called the target already: a setting that it changes in
    every call would be changed before this one.

    Raises:
        Violated: if one of them was changed within.
    """
    case = pair.case
    wanted = {
        "the default dtype": torch.float32,
        "the number of threads": 1 if case.seed % 8 else 2,  # the second costs much on busy cores
        "the deterministic-algorithms flag": bool(case.seed % 2),
        "anomaly detection": False,  # on, it warns and costs time
        "the grad mode": case.seed // 2 % 4 != 3,
    }
    with settings_kept():
        for name, (_, write) in SETTINGS.items():
            write(wanted[name])
        yield
        for name, (read, _) in SETTINGS.items():
            if read() != wanted[name]:
                raise Violated(
                    f"{name} after {what}: got {read()}, expected {wanted[name]}, as before"
                )
        if torch.is_inference_mode_enabled():
            raise Violated(f"inference mode after {what}: got True, expected False, as before")
