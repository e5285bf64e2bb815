"""The modules under test: right, broken, called in other ways; and the catalogue."""

import inspect
import sys

from torch import nn


def classes_in(*modules: str) -> tuple[type[nn.Module], ...]:
    """Return the modules' own classes of nn.Module, in the order of their definition."""
    found = ((name, one) for name in modules for one in vars(sys.modules[name]).values())
    return tuple(
        one
        for name, one in found
        if inspect.isclass(one) and issubclass(one, nn.Module) and one.__module__ == name
    )
