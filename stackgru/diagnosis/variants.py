"""The known variants of nn.GRU: the name of each, and what its Design changes.

A name is a noun phrase that follows "nn.GRU with".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, permutations
from typing import Any

from stackgru.diagnosis.designs import Design
from stackgru.gru.parameters import PARAMETERS

_GATES = ("r", "z", "n")
_NTH = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to differ from nn.GRU.

    Attributes:
        name: what it is, in a few words.
        changes: the fields of Design that differ from nn.GRU's.
        is_alone: whether it is tried with variants of dropout only; there are many of its kind.
    """

    name: str
    changes: Mapping[str, Any]
    is_alone: bool = False

    @property
    def in_eval(self) -> bool:
        """Whether it also shows without dropout."""
        return not set(self.changes) & _OF_DROPOUT

    def fits(self, other: Variant) -> bool:
        """Whether a target can have both at once."""
        both_in_eval = self.in_eval and other.in_eval
        alone = both_in_eval and (self.is_alone or other.is_alone)
        return not alone and not set(self.changes) & set(other.changes)


_OF_DROPOUT = {
    "scaled",
    "input",
    "last",
    "carried",
    "kept",
    "over_rows",
    "unused",
    "undropped",
    "time_order",
}


def _variants() -> Iterator[Variant]:
    candidates = {
        "reset before": "the reset gate applied before the product (Cho et al. v3, ONNX "
        "linear_before_reset = 0)",
        "reset over all": "the reset gate applied to all of the candidate's sum",
        "bias outside": "b_hn outside the reset product",
        "no bias": "no b_hn",
    }
    for candidate, name in candidates.items():
        yield Variant(name, {"candidate": candidate})
    yield Variant("the update gate complemented (h' = z n + (1 - z) h)", {"complement": True})
    for order in list(permutations(range(3)))[1:]:
        stored = ", ".join(_GATES[order.index(place)] for place in range(3))
        yield Variant(f"gates in the order {stored}", {"order": order})
    yield from _partly_ordered()
    for place, gate in enumerate(("reset", "update")):
        for number in (-1, 1):
            added = tuple(number * (at == place) for at in range(3))
            yield Variant(f"{number:+} added to the sum of the {gate} gate", {"added": added})
    yield Variant("one bias instead of two (no b_hh)", {"biases": "input's"})
    yield Variant("one bias instead of two (no b_ih)", {"biases": "state's"})
    for name, slope in (("x / 6", 1 / 6), ("0.2 x", 0.2), ("x / 4", 0.25)):
        yield Variant(f"a hard sigmoid ({name} + 1/2, clipped to 0 and 1)", {"slope": slope})
    for layer in range(1, len(_NTH)):
        what = f"residual connections from the {_NTH[layer]} layer on"
        yield Variant(what, {"residual": layer, "added_late": False})
        yield Variant(f"{what} (added after dropout)", {"residual": layer, "added_late": True})
    for late, where in ((False, ""), (True, " (added after dropout)")):
        changes = {"residual": 1, "residual_below": True, "added_late": late}
        yield Variant(f"residual connections wherever the widths agree{where}", changes)
    for layer, name in ((0, ""), (1, " above the first")):
        for first in (False, True):
            changes = {"shared_from": layer, "shares_first": first}
            yield Variant(f"one cell shared by all layers{name}", changes)
    yield Variant("the first layer's h0 used for all layers", {"state_of": 0})
    yield Variant("the last layer's h0 used for all layers", {"state_of": -1})
    yield Variant("zeros in place of h0, which is ignored", {"from_zeros": True})
    for states in (("h0", "hn"), ("hn",), ("h0",)):
        name = f"the layers of {' and '.join(states)} in reverse"
        yield Variant(name, {"reversed_states": states})
    for steps in (1, 2, 3, 4, 5, 8, 10):
        every = "every step" if steps == 1 else f"every {steps} steps"
        for zeros in (False, True):
            changes = {"restarts": steps, "again_from_zeros": zeros}
            start = "zeros" if zeros else "h0"
            yield Variant(f"a state that starts again from {start} {every}", changes, is_alone=True)
    yield Variant("no dropout, although it takes a rate", {"undropped": True})
    yield Variant("dropout also after the last layer", {"last": "output"})
    yield Variant("dropout also after the last layer and in its hn", {"last": "output and hn"})
    yield Variant("dropout also on the input", {"input": True})
    for where, name in (
        ("as they go up", "by the mask of the output that goes up"),
        ("before the step, at once", "before each step, by one mask for all layers"),
        ("before the step", "before each step"),
        ("after the step", "after each step, by a separate mask"),
    ):
        yield Variant(f"dropout also on the carried state ({name})", {"carried": where})
    same_mask = "the same mask at every step (variational dropout)"
    yield Variant(same_mask, {"kept": "drawn once"})
    yield Variant(f"{same_mask}, although a new one is drawn each time", {"kept": "drawn anew"})
    yield Variant("the same mask for all rows of the batch", {"over_rows": True})
    yield Variant("an extra mask drawn after the last layer and discarded", {"unused": "last"})
    yield Variant("an extra mask drawn before the first layer and discarded", {"unused": "first"})
    yield Variant("no scaling of kept values by 1 / (1 - p)", {"scaled": False})


def _partly_ordered() -> Iterator[Variant]:
    """Yield variants of which some parameters alone have their gates in another order."""
    for order in list(permutations(range(3)))[1:]:
        stored = ", ".join(_GATES[order.index(place)] for place in range(3))
        for number in range(1, len(PARAMETERS)):
            for ordered in combinations(PARAMETERS, number):
                name = f"gates in the order {stored} in {' and '.join(ordered)} alone"
                yield Variant(name, {"order": order, "ordered": ordered}, is_alone=True)


#: Every known variant, the simplest first.
VARIANTS = tuple(_variants())

#: Those that show in gradients alone.
OF_GRADIENTS = tuple(
    Variant(name, {"detached": what})
    for what, name in (
        ("states", "the state detached before every step"),
        ("h0", "h0 detached"),
        ("layers", "what goes up detached between layers"),
    )
)

#: Only reported for a sequence, not a violation; it may come on top of any two.
TIME_ORDER = Variant("masks drawn in time order", {"time_order": True})


def design_of(variants: Sequence[Variant]) -> Design:
    """Return the design that differs from nn.GRU by these variants."""
    changes: dict[str, Any] = {}
    for variant in variants:
        changes |= variant.changes
    assert set(changes) <= {field.name for field in fields(Design)}  # noqa: S101
    return replace(Design(), **changes)
