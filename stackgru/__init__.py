"""Is this stack of GRU cells interchangeable with torch.nn.GRU? The public names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackgru.cases import Case as Case
    from stackgru.cell import StackingGRUCell as StackingGRUCell
    from stackgru.checking import check as check
    from stackgru.conventions import Convention as Convention
    from stackgru.converting import ConversionError as ConversionError
    from stackgru.converting import convert_state_dict as convert_state_dict
    from stackgru.loading import TargetError as TargetError
    from stackgru.options import UsageError as UsageError
    from stackgru.refusing import RefusedArgument as RefusedArgument
    from stackgru.report import Report as Report
    from stackgru.suite import suite_for as suite_for
    from stackgru.swapping import as_cells as as_cells
    from stackgru.swapping import as_gru as as_gru
    from stackgru.swapping import copy_weights as copy_weights

__version__ = "0.1.0"

# Imported when they are first asked for: pytest loads the plugin, and so this package, in every
# run of everybody who has stackgru installed, and must not import torch there.
_WHERE = {
    "Case": "cases",
    "Convention": "conventions",
    "ConversionError": "converting",
    "RefusedArgument": "refusing",
    "Report": "report",
    "StackingGRUCell": "cell",
    "TargetError": "loading",
    "UsageError": "options",
    "as_cells": "swapping",
    "as_gru": "swapping",
    "check": "checking",
    "convert_state_dict": "converting",
    "copy_weights": "swapping",
    "suite_for": "suite",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
