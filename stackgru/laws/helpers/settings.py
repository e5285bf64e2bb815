"""Torch's own settings, watched around a call: no module may change them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.torch_settings import SETTINGS, settings_known


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
        "the number of threads": case.threads,
        "the deterministic-algorithms flag": case.deterministic,
        "the grad mode": case.records,
        "inference mode": case.grad == "inference",
    }
    with settings_known():
        for name, value in wanted.items():
            if SETTINGS[name].read() != value:
                SETTINGS[name].write(value)
        before = {name: setting.read() for name, setting in SETTINGS.items()}
        yield
        for name, setting in SETTINGS.items():
            after = setting.read()
            if after != before[name]:
                raise Violated(_changed(name, what, after, before[name]))


def _changed(name: str, what: str, after: object, before: object) -> str:
    if len(f"{before}") > 20:
        return f"{name} after {what}: not in the state that it was in before"
    return f"{name} after {what}: got {after}, expected {before}, as before"
