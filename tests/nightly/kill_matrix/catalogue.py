"""The subjects of the matrix: the project's faults and right variants, or a user's own."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

import stackgru
from stackgru.targets.importing import TargetError, import_target
from stackgru.targets.target import load
from tests.subjects import catalogue as faults
from tests.subjects.right.cells import RIGHT_CELLS
from tests.subjects.right.sequences import RIGHT_SEQUENCES

_ALIASES = {nn.GRU: "torch.nn:GRU", stackgru.StackingGRUCell: "stackgru:StackingGRUCell"}


@dataclass(frozen=True)
class Subject:
    """An implementation of which it is known whether it is right.

    Attributes:
        spec: names it, as ``stackgru check`` takes it.
        is_fault: whether it is wrong.
        kind: "cell" or "sequence".
        strict: whether its fault counts with ``--strict`` only.
        law: the law that the project says explains it best, if it says so.
        source: a fingerprint of the text of the class and of its bases.
    """

    spec: str
    is_fault: bool
    kind: str
    strict: bool
    law: str | None
    source: str

    @property
    def name(self) -> str:
        """The name without its module."""
        return self.spec.rpartition(":")[2]

    @property
    def group(self) -> str:
        """The column it is counted in."""
        return "refusals" if self.strict else f"{self.kind}s"


def project_subjects() -> list[Subject]:
    """Return the project's own faults, then its right variants."""
    explained = {fault: law for law, fault in faults.CAUGHT_BY.items()}
    refusals = set(faults.REFUSALS)
    wrong = [*faults.CELLS, *faults.SEQUENCES, *faults.REFUSALS]
    right = [stackgru.StackingGRUCell, *RIGHT_CELLS, *RIGHT_SEQUENCES, nn.GRU]
    return [
        *(
            _subject(_spec(one), True, strict=one in refusals, law=explained.get(one))
            for one in dict.fromkeys(wrong)
        ),
        *(_subject(_spec(one), False) for one in dict.fromkeys(right)),
    ]


def named_subjects(names: Iterable[str], *, is_fault: bool, strict: bool = False) -> list[Subject]:
    """Return what a user names.

    Args:
        names: ``path/file.py:Name`` or ``module:Name``; or ``path/file.py`` or ``module`` for every
            module class that is defined there and has a docstring.
        is_fault: whether they are wrong.
        strict: whether the faults count with ``--strict`` only.

    Returns:
        The subjects.

    Raises:
        TargetError: if one is not found, or cannot be built and called.
    """
    specs = [spec for name in names for spec in ([name] if ":" in name else _defined_in(name))]
    return [_subject(spec, is_fault, strict=strict) for spec in dict.fromkeys(specs)]


def _defined_in(place: str) -> list[str]:
    module = sys.modules[import_target(f"{place}:__name__")]
    found = [
        f"{place}:{name}"
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__ == module.__name__
        and vars(value).get("__doc__")
    ]
    if not found:
        raise TargetError(f"{place} defines no torch.nn.Module with a docstring.")
    return found


def _spec(factory: Callable[..., nn.Module]) -> str:
    return _ALIASES.get(factory, f"{factory.__module__}:{factory.__qualname__}")


def _subject(spec: str, is_fault: bool, *, strict: bool = False, law: str | None = None) -> Subject:
    target = load(spec)
    return Subject(spec, is_fault, target.kind, strict, law, _source(target.factory, spec))


def _source(factory: Callable[..., nn.Module], spec: str) -> str:
    """Fingerprint the text of a class and its bases; torch's own are known by its version."""
    classes = factory.__mro__ if isinstance(factory, type) else (factory,)
    own = [one for one in classes if one.__module__.split(".")[0] not in ("torch", "builtins")]
    try:
        text = "\n".join(inspect.getsource(one) for one in own)
    except (OSError, TypeError):  # made by a call: take all of its file
        text = Path(str(sys.modules[factory.__module__].__file__)).read_text()
    return hashlib.sha256(f"{spec}\n{text}".encode()).hexdigest()
