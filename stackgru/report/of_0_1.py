"""What reports of stackgru 0.1 leave out; its laws had these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What decides a question in 0.1, whose reports do not show it.
_DECIDED_BY = {
    "values": ("equation", "unrolled"),
    "training": ("same-masks",),
    "seeds": ("one-step",),
    "gradients": ("gradients",),
    "conduct": ("purity", "stateless"),
}
_QUESTIONS_OF_LAWS = {
    **dict.fromkeys(("layouts", "bidirectional"), "conduct"),
    **dict.fromkeys(("one-step", "same-draws", "no-draws", "repeatable", "seed-matters"), "seeds"),
    "order-matters": "sequences",
}
_QUESTIONS_OF_FAMILIES = {"gradients": "gradients", "conduct": "conduct", "transforms": "conduct"}


def as_of_0_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result of 0.1 leaves out, by the law's name, its family and the case."""
    name, family, violation = values["name"], values["family"], values["violation"]
    question = _QUESTIONS_OF_FAMILIES.get(family) or _QUESTIONS_OF_LAWS.get(name, "training")
    in_eval = violation is not None and "mode=eval" in violation.case.split()
    if in_eval and question not in ("gradients", "conduct"):
        question = "seeds" if family == "randomness" else "values"
    decides = next((key for key, names in _DECIDED_BY.items() if name in names), "")
    return {
        "question": question,
        "decides": decides,
        "decided_by": _DECIDED_BY.get(decides, ()),
    }
