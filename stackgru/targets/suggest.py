"""What to try if a target cannot be used: conventions that fit it, found by trying them."""

from __future__ import annotations

import inspect
import itertools
import shlex
from collections.abc import Iterator
from dataclasses import replace

from stackgru.options import ARGUMENTS, RETURNS, STATES
from stackgru.targets.convention import Convention
from stackgru.targets.factories import factories
from stackgru.targets.importing import (
    CannotBuild,
    CannotCall,
    NoNames,
    TargetError,
    Unread,
    WeightsNotFound,
    is_installed,
)
from stackgru.targets.probe import PROBE, build_checked, fitted, probe

#: No size is a possible rate and the rate is no possible size, so a wrong order of arguments fails.
_CASE = replace(PROBE, dropout=0.5)

_WEIGHTS = """
Specify them layer by layer, in nn.GRU's shapes and order of gates (r, z, n), in {file}:{imports}
  def layers(module): return [{{"weight_ih": ..., "weight_hh": ..., "bias_ih": ..., ...}}, ...]
  MINE = {convention}  # then: stackgru check {place}:MINE"""

_AROUND = """
  class MINE(torch.nn.Module):  # in {file}: def forward(self, x, h): ... return output, state"""

_LINE = """
It fits as a {kind}, built by a line in {file}:{imports}
  {code}
Then try:
  stackgru check {place}:MINE{options}"""

_FACTORY = """
Pass further arguments by --constant NAME=JSON, or write into {file}:{imports}
  def MINE(input_size, hidden_size): return {factory}(...)  # then: stackgru check {place}:MINE
  # with further arguments num_layers and dropout, if it takes them"""


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
    tried: list[tuple[Convention, str]] = []  # an error would keep its module in memory
    unread: Convention | None = None
    of_one_width = ""
    for candidate in _candidates(convention, name, device):
        if kind and kind != candidate.only_kind and candidate.only_kind:
            continue
        try:
            probed = probe(candidate, name, kind, device)
        except TargetError as raised:
            if isinstance(raised, Unread):
                unread = unread or candidate
            tried.append((candidate, str(raised)))
            continue
        if probed.is_exact:
            line = _shown(candidate, name, kind, as_options=as_options)
            said = f"\nIt fits as a {probed.kind} with another convention. Try:\n  {line}"
            if not probed.has_one_width:
                return said
            of_one_width = of_one_width or said
    if convention.arguments is None and (of_one_width or not _builds(convention, name, device)):
        found = _with_factory(convention, name, kind, device, tries=bool(of_one_width))
        if found is not None:
            return found
    if of_one_width:
        return of_one_width
    if isinstance(error, WeightsNotFound) and convention.weights is None:
        return _example(_WEIGHTS, name, convention)
    if unread is not None:
        words = " ".join(unread.cli_options or ())
        said = f"\nIt can be called with {words}, but its weights were not found."
        return said + _example(_WEIGHTS, name, unread)
    if isinstance(error, CannotBuild) and not name.startswith("builtins:"):
        return _example(_FACTORY, name)
    if not isinstance(error, CannotCall):
        return ""
    # What gave a result of another shape came nearer than what raised.
    own = [one for one in tried if one[0].arguments == convention.arguments]
    near = [(one, why) for one, why in own if " it gave " in why and one != convention]
    said = f"\nNone of the {len(own)} conventions that were tried fits"
    if near:
        nearest, why = near[0]
        words = " ".join(nearest.cli_options or ())
        said += f"; the nearest is {words}: {why.partition(': ')[2].removesuffix('.')}"
    return (
        f"{said}. Write a module around it that is called as one of them:{_example(_AROUND, name)}"
    )


def _with_factory(
    convention: Convention, name: str, kind: str | None, device: str, *, tries: bool
) -> str | None:
    """Return what to try if a factory of one line fits.

    ``tries``: whether its weights are found by trying where no name says where they are.
    """
    for factory in factories(convention, name):
        for candidate in _calls(factory.convention):
            if kind and kind != candidate.only_kind and candidate.only_kind:
                continue
            try:
                probed = probe(candidate, name, kind, device)
            except TargetError:
                continue
            if probed.is_exact and (tries or probed.tried is None):
                # Its own names show the arguments, unless one stands for two.
                arguments = candidate.arguments if candidate.has_one_width else None
                options = shlex.join(replace(candidate, arguments=arguments).cli_options or ())
                said = _example(
                    _LINE, name, kind=probed.kind, code=factory.code, options=f" {options}"
                )
                return said.rstrip()
    return None


def _shown(candidate: Convention, name: str, kind: str | None, *, as_options: bool) -> str:
    if not as_options or candidate.cli_options is None:
        return _as_code(candidate)
    options = [*candidate.cli_options, *(("--kind", kind) if kind else ())]
    return f"stackgru check {shlex.join([name, *options])}"


def _example(template: str, name: str, convention: Convention | None = None, **words: str) -> str:
    """Return lines of a file, in which the target is or which imports it, that describe it."""
    place, _, factory = name.rpartition(":")
    is_file = place.endswith(".py") or "/" in place
    file = place if is_file else f"the module {place}"
    imported = ["import stackgru"] if "{convention}" in template else []
    if not is_file and is_installed(place):
        imported.append(f"from {place} import {factory.partition('.')[0]}")
        file, place = "a file of your own, mine.py", "mine.py"
    imports = "\n  " + "; ".join(imported) if imported else ""
    if convention is not None:
        words["convention"] = _as_code(convention).removesuffix(")") + ", weights=layers)"
    return template.format(factory=factory, place=place, file=file, imports=imports, **words)


def _candidates(convention: Convention, name: str, device: str) -> Iterator[Convention]:
    """Yield conventions that could fit, those closest to nn.GRU's first."""
    for arguments in _orders(convention, name, device):
        yield from _calls(replace(convention, arguments=arguments))


def _calls(convention: Convention) -> Iterator[Convention]:
    """Yield the ways to call a module, those closest to nn.GRU's first."""
    calls = sorted(
        itertools.product(STATES, RETURNS, (False, True), (False, True)),
        key=lambda call: (
            (call[0] != STATES[0]) + (call[1] != RETURNS[0]) + call[2] + call[3],
            call[2],  # a plain cell of one row of states also takes a step for its first axis
        ),
    )
    for state, returns, time_axis, batch_first in calls:
        candidate = replace(
            convention,
            state=state,
            returns=returns,
            time_axis=time_axis,
            batch_first=batch_first,
        )
        if not (time_axis and candidate.is_of_sequence):
            yield candidate


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
    except NoNames:
        return True  # they may be found by trying, once it can be called
    except TargetError:
        return False
    return True


def _as_code(convention: Convention) -> str:
    """Return a convention as code, without its defaults."""
    factory = getattr(convention.factory, "__name__", "...")
    parts = [factory]
    for name in ("arguments", "constants", "sizes"):
        value = getattr(convention, name)
        parts += [f"{name}={value!r}"] if value else []
    parts += [f'state="{convention.state}"'] if convention.state != STATES[0] else []
    parts += [f'returns="{convention.returns}"'] if convention.returns != RETURNS[0] else []
    parts += ["time_axis=True"] if convention.time_axis else []
    parts += ["batch_first=True"] if convention.batch_first else []
    parts += ["weights=..."] if convention.weights is not None else []
    return f"stackgru.Convention({', '.join(parts)})"
