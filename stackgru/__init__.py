"""Is this stack of GRU cells interchangeable with torch.nn.GRU? The public names."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackgru.bounds.compare import Comparison, compare
    from stackgru.cases.case import Case
    from stackgru.cases.strategies import domain as cases
    from stackgru.checkpoints.state_dict import ConversionError, convert_state_dict
    from stackgru.gru.cell import StackingGRUCell
    from stackgru.gru.sharing import as_cells, as_gru, copy_weights
    from stackgru.gru.validation import RefusedArgument
    from stackgru.laws.registry import law
    from stackgru.options import Options, StackgruError, UsageError
    from stackgru.outcomes import Violation
    from stackgru.pytest_plugin.check import CheckerFailed, check
    from stackgru.pytest_plugin.suite import suite_for
    from stackgru.report.law_result import LawResult
    from stackgru.report.report import Report
    from stackgru.targets.convention import Convention
    from stackgru.targets.foreign import Foreign
    from stackgru.targets.importing import TargetError

__version__ = "0.2.0"

# fmt: off
__all__ = [
    "Case", "CheckerFailed", "Comparison", "Convention", "ConversionError", "Foreign", "LawResult",
    "Options", "RefusedArgument", "Report", "StackgruError", "StackingGRUCell", "TargetError",
    "UsageError", "Violation", "as_cells", "as_gru", "cases", "check", "compare",
    "convert_state_dict", "copy_weights", "law", "suite_for",
]
# fmt: on

# Imported on first use: pytest loads the plugin, and so this package, in every run of everybody
# who has stackgru installed, and must not import torch there.
_WHERE = {
    "Case": "cases.case",
    "CheckerFailed": "pytest_plugin.check",
    "Comparison": "bounds.compare",
    "Convention": "targets.convention",
    "ConversionError": "checkpoints.state_dict",
    "Foreign": "targets.foreign",
    "LawResult": "report.law_result",
    "Options": "options",
    "RefusedArgument": "gru.validation",
    "Report": "report.report",
    "StackgruError": "options",
    "StackingGRUCell": "gru.cell",
    "TargetError": "targets.importing",
    "UsageError": "options",
    "Violation": "outcomes",
    "as_cells": "gru.sharing",
    "as_gru": "gru.sharing",
    "check": "pytest_plugin.check",
    "compare": "bounds.compare",
    "convert_state_dict": "checkpoints.state_dict",
    "copy_weights": "gru.sharing",
    "law": "laws.registry",
    "suite_for": "pytest_plugin.suite",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        # Torch warns when it is imported without NumPy; nothing here needs NumPy.
        warnings.filterwarnings("ignore", "Failed to initialize NumPy")
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    if name == "cases":
        return importlib.import_module("stackgru.cases")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_WHERE, "cases"]
