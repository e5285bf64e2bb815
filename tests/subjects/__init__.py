"""The modules under test: right, broken, called in other ways; and the catalogue."""

import inspect
import sys

import torch
from torch import nn

if hasattr(torch, "compiler"):
    from torch.compiler import is_compiling
else:  # before torch 2.1

    def is_compiling() -> bool:
        """Whether torch.compile traces the call."""
        dynamo = sys.modules.get("torch._dynamo")
        return dynamo is not None and bool(dynamo.is_compiling())


def autocast_dtype() -> "torch.dtype | None":
    """Return the dtype to which autocast casts on the CPU, or None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):  # since torch 2.4
        return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None


def storage_of(tensor: torch.Tensor) -> "torch.UntypedStorage | torch.TypedStorage":
    """Return a tensor's memory."""
    own = getattr(tensor, "untyped_storage", None)  # since torch 2.0
    return tensor.storage() if own is None else own()


def classes_in(*modules: str) -> tuple[type[nn.Module], ...]:
    """Return the modules' own classes of nn.Module, in the order of their definition."""
    found = ((name, one) for name in modules for one in vars(sys.modules[name]).values())
    return tuple(
        one
        for name, one in found
        if inspect.isclass(one) and issubclass(one, nn.Module) and one.__module__ == name
    )
