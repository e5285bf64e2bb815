"""Is this stack of GRU cells interchangeable with torch.nn.GRU? The public names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackgru.cases.case import Case as Case
    from stackgru.checkpoints.state_dict import ConversionError as ConversionError
    from stackgru.checkpoints.state_dict import convert_state_dict as convert_state_dict
    from stackgru.gru.cell import StackingGRUCell as StackingGRUCell
    from stackgru.gru.sharing import as_cells as as_cells
    from stackgru.gru.sharing import as_gru as as_gru
    from stackgru.gru.sharing import copy_weights as copy_weights
    from stackgru.gru.validation import RefusedArgument as RefusedArgument
    from stackgru.options import Options as Options
    from stackgru.options import UsageError as UsageError
    from stackgru.pytest_plugin.check import check as check
    from stackgru.pytest_plugin.suite import suite_for as suite_for
    from stackgru.report.report import Report as Report
    from stackgru.targets.convention import Convention as Convention
    from stackgru.targets.importing import TargetError as TargetError

__version__ = "0.2.0"

# Imported when they are first asked for: pytest loads the plugin, and so this package, in every
# run of everybody who has stackgru installed, and must not import torch there.
_WHERE = {
    "Case": "cases.case",
    "Convention": "targets.convention",
    "ConversionError": "checkpoints.state_dict",
    "Options": "options",
    "RefusedArgument": "gru.validation",
    "Report": "report.report",
    "StackingGRUCell": "gru.cell",
    "TargetError": "targets.importing",
    "UsageError": "options",
    "as_cells": "gru.sharing",
    "as_gru": "gru.sharing",
    "check": "pytest_plugin.check",
    "convert_state_dict": "checkpoints.state_dict",
    "copy_weights": "gru.sharing",
    "suite_for": "pytest_plugin.suite",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
