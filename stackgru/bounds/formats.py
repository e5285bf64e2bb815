"""How each dtype rounds; the reasons are in stackgru.bounds.rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch

_STORED = 5  # stored numbers on the way to a gate's sum in half precision


@dataclass(frozen=True)
class Format:
    """How a dtype rounds.

    Attributes:
        unit: the unit roundoff u.
        accumulator: the unit roundoff of sums of products.
        stored: roundings to ``unit`` on the way to a gate's sum, beyond the accumulator's.
        smallest: the smallest subnormal number.
        normal: the smallest normal number.
        flush: what a factor may lose if subnormal numbers are treated as zero.
        largest: the largest number.
        activation: by how much sigmoid and tanh may be off besides, absolutely.
    """

    unit: float
    accumulator: float
    stored: int
    smallest: float
    normal: float
    flush: float
    largest: float
    activation: float = 0.0


def _format(dtype: torch.dtype) -> Format:
    limits = torch.finfo(dtype)
    half = dtype in (torch.float16, torch.bfloat16)
    return Format(
        unit=limits.eps / 2,
        accumulator=2.0**-24 if half else limits.eps / 2,
        stored=_STORED if half else 0,
        smallest=limits.tiny * limits.eps,
        normal=limits.tiny,
        flush=limits.tiny if dtype == torch.bfloat16 else 0.0,
        largest=limits.max,
    )


_FORMATS = {
    dtype: _format(dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
}
_ERROR: ContextVar[float] = ContextVar("activation_error", default=0.0)


def format_of(dtype: torch.dtype) -> Format:
    """Return how a dtype rounds, with activations as exact as the context says."""
    form, error = _FORMATS[dtype], _ERROR.get()
    if not error:
        return form
    return replace(form, activation=error * form.unit / _FORMATS[torch.float32].unit)


@contextmanager
def activations_off_by(error: float) -> Iterator[None]:
    """Allow sigmoid and tanh to be off absolutely, besides their roundings.

    Args:
        error: by how much in float32; in another dtype by the same number of u.
    """
    token = _ERROR.set(error)
    try:
        yield
    finally:
        _ERROR.reset(token)
