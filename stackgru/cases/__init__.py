"""Cases, their tensors and their strategies; called as a function, the domain of a law."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class _Cases(ModuleType):
    """The package, which a law of one's own calls: ``@law(cases(mode="eval"))``."""

    def __call__(self, **limits: Any) -> Mapping[str, Any]:
        """See stackgru.cases.strategies.domain."""
        from stackgru.cases.strategies import domain

        return domain(**limits)


sys.modules[__name__].__class__ = _Cases
