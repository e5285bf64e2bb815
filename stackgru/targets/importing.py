"""Importing ``module:attr`` or ``path/file.py:attr``; a failure is described in one sentence."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import io
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stackgru.options import StackgruError, did_you_mean

#: What a target may raise where it should not, and what then says so of the target alone.
RAISED = (Exception, SystemExit)


#: Before the name of a module that is imported from a file while another has its name.
RENAMED = "stackgru_target_"
#: How many of the lines that a module has printed a message shows.
_PRINTED = 5


class TargetError(StackgruError):
    """The target cannot be imported, built or called; the message is one sentence or two."""


class WeightsNotFound(TargetError):
    """The target can be built, but its weights are not found."""


class NoNames(WeightsNotFound):
    """No name says where any of its weights is."""


class Unread(WeightsNotFound):
    """The target can be called as it should be, but its weights are not found by trying either."""


class CannotBuild(TargetError):
    """The target's constructor does not take what it is given."""


class CannotCall(TargetError):
    """The target can be built, but a call gives something other than an output and a state."""


def import_target(spec: str) -> Any:
    """Return what ``module:attr`` or ``path/file.py:attr`` names.

    Raises:
        TargetError: if there is no such module, file or attribute, or importing it raises.
    """
    place, attribute, is_file = check_spec(spec)
    printed = io.StringIO()
    try:
        with _undisturbed(place, printed):
            module = _import_file(place) if is_file else _import_module(place)
    except TargetError:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit too
        if isinstance(error, KeyboardInterrupt):
            raise
        lines = printed.getvalue().strip().splitlines()[-_PRINTED:]
        text = "".join(f"\n  {line}" for line in ["It printed:", *lines] if lines)
        what = f"{describe_error(error)}{place_of(error)}"
        raise TargetError(f"importing {place} raised {what}.{text}") from error
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
    if not colon and (spec.endswith(".py") or Path(spec).is_file()):
        place = spec
    if ".ipynb" in spec:
        raise TargetError(
            f"{spec} is in a notebook, which cannot be imported; write its class into a .py file."
        )
    if place.endswith(":"):
        raise TargetError(
            f"{spec!r} does not name a target; did you mean {place.rstrip(':')}:{attribute}?"
        )
    is_file = place.endswith(".py") or "/" in place
    path = Path(place).resolve()
    if is_file and not path.is_file():
        near = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise TargetError(f"there is no file {place}{did_you_mean(path.name, near) or '.'}")
    if not colon or not place or not attribute:
        hint = "write module:attr or path/file.py:attr."
        module, _, last = spec.rpartition(".")
        if is_file:
            names = _classes(path)
            hint = f"write {spec}:NAME" + (f", e.g. {spec}:{names[0]}." if names else ".")
        elif module and not colon:
            hint = f"did you mean {module}:{last}?"
        raise TargetError(f"{spec!r} does not name a target; {hint}")
    return place, attribute, is_file


def _classes(path: Path) -> list[str]:
    """Return the names of the classes in a file, the last first, without running it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    return [node.name for node in reversed(tree.body) if isinstance(node, ast.ClassDef)]


@contextlib.contextmanager
def _undisturbed(place: str, printed: io.StringIO) -> Iterator[None]:
    """Keep our arguments from a module that is imported, and what it prints from ours."""
    arguments, sys.argv = sys.argv, [place]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        sys.argv = arguments


def _import_module(name: str) -> Any:
    _add_folders()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(f"there is no module named {error.name!r}.") from error
        raise


def _import_file(place: str) -> Any:
    path = Path(place).resolve()
    root, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():  # as pytest does
        root, parts = root.parent, [root.name, *parts]
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # as `python path/file.py` does
    _add_folders()
    if root != path.parent:
        name = ".".join(parts)
        found = importlib.import_module(name)
        if Path(found.__file__ or "").resolve() != path:
            raise TargetError(f"{place} is {name}, but {name} is imported from {found.__file__}.")
        return found
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    name = path.stem if loaded is None else f"{RENAMED}{path.stem}"
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


def _add_folders() -> None:
    """Let modules of the current folder be imported, as `python -m` does, and those of src/."""
    for folder in (Path.cwd() / "src", Path.cwd()):
        if "" not in sys.path and str(folder) not in sys.path and folder.is_dir():
            sys.path.insert(0, str(folder))


def place_of(error: BaseException) -> str:
    """Return the last place of a user's own code that an error passed, in brackets, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    own = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not path.is_relative_to(own) and not _is_installed(path):
            return f" ({path.name}:{frame.lineno})"
    return ""


def is_installed(module: str) -> bool:
    """Whether a module that was imported belongs to an installed package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and _is_installed(Path(file))


def _is_installed(path: Path) -> bool:
    folders = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib")}
    return any(path.is_relative_to(folder) for folder in folders) or "site-packages" in path.parts


def describe_error(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def with_article(noun: str) -> str:
    """Return a noun with its article."""
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
