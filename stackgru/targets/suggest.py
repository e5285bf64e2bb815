"""What to try if a target cannot be used: conventions that fit it, found by trying them."""

from __future__ import annotations

import inspect
import itertools
import shlex
from collections.abc import Iterator
from dataclasses import replace

from stackgru.options import ARGUMENTS, RETURNS, STATES
from stackgru.targets.convention import Convention
from stackgru.targets.importing import TargetError, WeightsNotFound
from stackgru.targets.probe import PROBE, build_checked, fitted, probe

#: No size is a possible rate and the rate is no possible size, so a wrong order of arguments fails.
_CASE = replace(PROBE, dropout=0.5)

_EXAMPLE = """
Specify them layer by layer, in nn.GRU's shapes and order of gates (r, z, n):
  def layers(module): return [{{"weight_ih": ..., "weight_hh": ..., "bias_ih": ..., ...}}, ...]
  MINE = stackgru.Convention({factory}, weights=layers)  # then: stackgru check {place}:MINE"""


def advice(
    convention: Convention,
    name: str,
    kind: str | None,
    device: str,
    error: TargetError,
    *,
    as_options: bool,
) -> str:
    """Return what to try with a target that raised an error, on lines of its own, or nothing.

    ``as_options``: whether its convention is specified by options of the command line.
    """
    for candidate in _candidates(convention, name, device):
        if candidate.time_axis and kind == "sequence":
            continue
        try:
            probed = probe(candidate, name, kind, device)
        except TargetError:
            continue
        if probed.is_exact:
            options = [*(candidate.cli_options or ()), *(("--kind", kind) if kind else ())]
            line = f"stackgru check {shlex.join([name, *options])}"
            if not as_options or candidate.cli_options is None:
                line = _as_code(candidate)
            return f"\nIt fits as a {probed.kind} with another convention. Try:\n  {line}"
    if isinstance(error, WeightsNotFound):
        place, _, factory = name.rpartition(":")
        return _EXAMPLE.format(factory=factory, place=place)
    return ""


def _candidates(convention: Convention, name: str, device: str) -> Iterator[Convention]:
    """Yield conventions that could fit, those closest to nn.GRU's first."""
    calls = sorted(
        itertools.product(STATES, RETURNS, (False, True)),
        key=lambda call: (call[0] != STATES[0]) + (call[1] != RETURNS[0]) + call[2],
    )
    for arguments in _orders(convention, name, device):
        for state, returns, time_axis in calls:
            yield replace(
                convention, arguments=arguments, state=state, returns=returns, time_axis=time_axis
            )


def _orders(convention: Convention, name: str, device: str) -> Iterator[tuple[str, ...] | None]:
    """Yield orders of arguments with which the constructor builds a module with right weights."""
    given = None if convention.arguments is None else tuple(convention.arguments)
    if _builds(convention, name, device):
        yield given
        return
    try:
        parameters = inspect.signature(convention.factory).parameters.values()
    except (TypeError, ValueError):
        return
    free = [
        parameter
        for parameter in parameters
        if parameter.name not in (convention.constants or {})
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    # What may be a size, a number of layers or a rate is not left out: the target may need it.
    needed = [index for index, parameter in enumerate(free) if _may_be_a_number(parameter)]
    least = min(needed[-1] + 1, len(ARGUMENTS)) if needed else 1
    for number in range(min(len(free), len(ARGUMENTS)), least - 1, -1):
        for order in itertools.permutations(ARGUMENTS, number):
            is_new = {*ARGUMENTS[:2]} & set(order) and order != given
            if is_new and _builds(replace(convention, arguments=order), name, device):
                yield order


def _may_be_a_number(parameter: inspect.Parameter) -> bool:
    default = parameter.default
    is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
    return default is parameter.empty or is_number


def _builds(convention: Convention, name: str, device: str) -> bool:
    try:
        build_checked(convention, name, device, fitted(convention, _CASE))
    except TargetError:
        return False
    return True


def _as_code(convention: Convention) -> str:
    """Return a convention as code, without its defaults."""
    factory = getattr(convention.factory, "__name__", "...")
    parts = [factory]
    for name in ("arguments", "constants"):
        value = getattr(convention, name)
        parts += [f"{name}={value!r}"] if value else []
    parts += [f'state="{convention.state}"'] if convention.state != STATES[0] else []
    parts += [f'returns="{convention.returns}"'] if convention.returns != RETURNS[0] else []
    parts += ["time_axis=True"] if convention.time_axis else []
    parts += ["weights=..."] if convention.weights is not None else []
    return f"stackgru.Convention({', '.join(parts)})"
