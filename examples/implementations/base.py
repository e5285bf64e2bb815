"""What the conventions share: their list, imports, and wrappers."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stackgru import Convention

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

#: A cell (B, I), (B, H) -> (B, H) is a stack of one layer.
SINGLE = {"state": "concatenated", "returns": "state"}


@dataclass(frozen=True)
class Implementation:
    """A GRU of a package from the registry.

    Attributes:
        name: package and class, as in the table and in ``--only``.
        distribution: the package's name on the registry.
        says: what its documentation or comments claim, in our words.
        convention: imports the package and returns the Convention to check.
        remark: what we read in its code, if the checker does not name it.
        dtypes: names of the dtypes to check it in; all if empty.
    """

    name: str
    distribution: str
    says: str
    convention: Callable[[], Convention]
    remark: str = ""
    dtypes: tuple[str, ...] = ()


IMPLEMENTATIONS: list[Implementation] = []


def implementation(
    name: str, distribution: str, says: str, **more: Any
) -> Callable[[Callable[[], Convention]], Callable[[], Convention]]:
    """Add a function that returns a convention to the list; see Implementation."""

    def enter(convention: Callable[[], Convention]) -> Callable[[], Convention]:
        IMPLEMENTATIONS.append(Implementation(name, distribution, says, convention, **more))
        return convention

    return enter


# Imports of packages. ---------------------------------------------------------------


def submodule(name: str) -> types.ModuleType:
    """Import a.b.c without running the __init__ of a and of a.b, which need much more."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if package in sys.modules:
            continue
        if end == 1:
            spec = importlib.util.find_spec(package)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {package!r}")
            where = list(spec.submodule_search_locations or [])
        else:
            above = sys.modules[".".join(parts[: end - 1])].__path__
            where = [os.path.join(path, parts[end - 1]) for path in above]
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = where
    return importlib.import_module(name)


class Absent(types.ModuleType):
    """A stand-in for a package that is imported but not used by what is checked."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def without(*names: str) -> None:
    """Make these packages importable although they are not installed."""
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name.split(".")[0]) is None:
            sys.modules[name] = Absent(name)


# Wrappers for what a convention does not cover. -------------------------------


class Attended(nn.Module):
    """A cell that takes an attention score as well; at one, it is a plain cell."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input, state):
        return self.cell(input, state, input.new_ones(input.shape[0], 1))


class Stated(nn.Module):
    """A cell whose signature does not show that it needs a state."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input, state):
        return self.cell(input, state)


class RowsFirst(nn.Module):
    """A sequence module that takes (B, T, I) only."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, input, state=None):
        output, state = self.rnn(input.transpose(0, 1), state)
        return output.transpose(0, 1), state


class Padded(nn.Module):
    """A cell whose input is as wide as its state: the narrower of the two is padded with zeros.

    Units beyond the state's width are dropped after each step, so the padding's weights have no
    effect.
    """

    def __init__(self, cell: nn.Module, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell, self.input_size, self.hidden_size = cell, input_size, hidden_size
        self.width = max(input_size, hidden_size)

    def forward(self, input, state):
        input = F.pad(input, (0, self.width - input.shape[-1]))
        state = F.pad(state, (0, self.width - state.shape[-1]))
        return self.cell(input, state)[:, : self.hidden_size]


def in_order(rows: torch.Tensor, order: tuple[int, int, int]) -> torch.Tensor:
    """Return the gates' three blocks of rows in another order."""
    return torch.cat([rows.chunk(3)[block] for block in order])


def of_cell(module: nn.Module) -> list[dict[str, torch.Tensor]]:
    """Return the weights of module.cell, which has nn.GRUCell's names."""
    found = {name: getattr(module.cell, name) for name in NAMES}
    return [{name: value for name, value in found.items() if value is not None}]
