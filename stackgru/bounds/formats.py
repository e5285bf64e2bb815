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
        lost: what each number may lose in any operation if subnormal numbers are zero everywhere.
    """

    unit: float
    accumulator: float
    stored: int
    smallest: float
    normal: float
    flush: float
    largest: float
    activation: float = 0.0
    lost: float = 0.0


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


DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_FORMATS = {dtype: _format(dtype) for dtype in DTYPES}
#: By how much activations are off in float32, and whether subnormal numbers are zero.
_ARITHMETIC: ContextVar[tuple[float, bool]] = ContextVar("arithmetic", default=(0.0, False))


def format_of(dtype: torch.dtype) -> Format:
    """Return how a dtype rounds, in arithmetic as exact as the context says."""
    form, (error, flushes) = _FORMATS[dtype], _ARITHMETIC.get()
    if error:
        form = replace(form, activation=error * form.unit / _FORMATS[torch.float32].unit)
    if flushes:
        form = replace(form, smallest=form.normal, flush=form.normal, lost=form.normal)
    return form


@contextmanager
def arithmetic(error: float, *, flushes: bool) -> Iterator[None]:
    """Allow sigmoid and tanh to be off absolutely, and subnormal numbers to be zero.

    Args:
        error: by how much in float32, besides roundings; in another dtype by the same number of u.
        flushes: whether an operation may take a subnormal number for zero, and give zero for one.
    """
    token = _ARITHMETIC.set((error, flushes))
    try:
        yield
    finally:
        _ARITHMETIC.reset(token)
