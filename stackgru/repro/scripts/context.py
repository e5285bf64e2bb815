"""Scenes and candidates: what a script is about, and what it does once everything is set up."""

from __future__ import annotations

import json
from dataclasses import dataclass

from torch import nn

from stackgru.cases.case import Case
from stackgru.gru.cell import StackingGRUCell
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law
from stackgru.targets.target import Target


def is_torchs_own(target: Target) -> bool:
    """Whether a difference is one of torch itself, of nn.GRU or of the cells in the bundled one."""
    return target.factory in (nn.GRU, StackingGRUCell)


@dataclass(frozen=True)
class ScriptContext:
    """What a script is to show.

    Attributes:
        target: what violates the law.
        law: the law.
        case: the case that shows it, with its numbers if they are given.
        message: what was seen and expected.
        strict: as for the law.
        is_control: whether a right implementation has taken the target's place.
    """

    target: Target
    law: Law
    case: Case
    message: str
    strict: bool = False
    is_control: bool = False

    @property
    def is_of_torch(self) -> bool:
        """Whether it is a difference of torch's own cells, which is told by torch alone."""
        return self.target.factory is StackingGRUCell and not self.is_control

    def pair(self) -> Pair:
        """Return a new pair for the case."""
        return Pair(self.target, self.case, strict=self.strict)

    @property
    def is_cell(self) -> bool:
        """Whether the target takes one step a call."""
        return self.target.kind == "cell"

    @property
    def called(self) -> str:
        """What is called as nn.GRU is: the target, or what calls it by its convention."""
        return "call" if self.target.convention.needs_adapter else "target"

    def run(self, module: str = "", x: str = "x", h0: str = "h0", steps: int = 0) -> str:
        """Return the text of a call over ``x``, which gives output and hn.

        Args:
            module: what is called; the target if empty.
            x: the input, (T, B, I).
            h0: the state.
            steps: how many steps ``x`` has; the case's if 0.
        """
        module = module or self.called
        if not self.is_cell:
            return f"{module}({x}, {h0})"
        if (steps or self.case.seq_len) == 1:
            first = f"({x})[0]" if x.startswith("-") or " + " in x else f"{x}[0]"
            return f"{module}({first}, {h0})"
        return f"run({module}, {x}, {h0})"

    def seeded(self, *lines: str, always: bool = False) -> list[str]:
        """Return lines that start from the case's seed, where that matters."""
        matters = always or (self.case.mode == "train" and self.case.dropout > 0)
        return [f"torch.manual_seed({self.case.seed})", *lines] if matters else [*lines]


@dataclass(frozen=True)
class Candidate:
    """What a script does with ``target``, ``reference``, ``x`` and ``h0``.

    Attributes:
        lines: they give ``observed`` and ``expected``.
        allowed: how far apart two tensors may lie; None to compare plain values.
        imports: modules that the lines need besides torch.
        builds: whether the target is built before; else the lines do it.
        options: further arguments of both constructors.
        weights: lines that give both modules their weights, where they are not the case's.
    """

    lines: tuple[str, ...]
    allowed: float | None = 0.0
    imports: tuple[str, ...] = ()
    builds: bool = True
    options: tuple[tuple[str, object], ...] = ()
    weights: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def attempt(seen: str, *lines: str) -> list[str]:
    """Return lines that try something.

    Args:
        seen: the text of what ``observed`` is once they have run; else it is the error.
        *lines: what is tried.
    """
    return [
        "try:",
        *(f"    {line}" for line in lines),
        f"    observed = {seen}",
        "except Exception as error:",
        '    observed = f"{type(error).__name__}: {error}".splitlines()[0]',
    ]


def own_leaf(name: str) -> str:
    """Return what stands for the target's own parameter ``name`` until the target is known."""
    return f"<<{name}>>"


def own_build(**changed: object) -> str:
    """Return what stands for the text that builds the target, until the target is known."""
    return f"<<built {json.dumps(changed)}>>"
