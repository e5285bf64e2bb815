"""Importing ``module:attr`` or ``path/file.py:attr``; a failure is described in one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from stackgru.options import StackgruError, did_you_mean

#: What a target may raise where it should not, and what then says so of the target alone.
RAISED = (Exception, SystemExit)


class TargetError(StackgruError):
    """The target cannot be imported, built or called; the message is one sentence or two."""


class WeightsNotFound(TargetError):
    """The target can be built, but its weights are not found."""


def import_target(spec: str) -> Any:
    """Return what ``module:attr`` or ``path/file.py:attr`` names.

    Raises:
        TargetError: if there is no such module, file or attribute, or importing it raises.
    """
    place, attribute, is_file = check_spec(spec)
    try:
        module = _import_file(place) if is_file else _import_module(place)
    except TargetError:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit too
        if isinstance(error, KeyboardInterrupt):
            raise
        raise TargetError(f"importing {place} raised {describe_error(error)}.") from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, dir(found)) or "."
            raise TargetError(f"{place} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    return found


def check_spec(spec: str) -> tuple[str, str, bool]:
    """Return the place and the attribute that a spec names, and whether the place is a file.

    Raises:
        TargetError: if it names none, or a file that is not there.
    """
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place or not attribute:
        raise TargetError(
            f"{spec!r} does not name a target; write module:attr or path/file.py:attr."
        )
    is_file = place.endswith(".py") or "/" in place
    if is_file and not Path(place).resolve().is_file():
        raise TargetError(f"there is no file {place}.")
    return place, attribute, is_file


def _import_module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(f"there is no module named {error.name!r}.") from error
        raise


def _import_file(place: str) -> Any:
    path = Path(place).resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as `python path/file.py` does
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    name = path.stem if loaded is None else f"stackgru_target_{path.stem}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise TargetError(f"{place} is not a Python file.")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe_error(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def with_article(noun: str) -> str:
    """Return a noun with its article."""
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
