"""What a script is about, and candidates: what it does once everything is set up."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from stackgru.cases.case import Case
from stackgru.cases.tensors import is_literal
from stackgru.gru.cell import StackingGRUCell
from stackgru.harness.pair import Pair
from stackgru.laws.registry import Law
from stackgru.targets.target import Target


def is_torchs_own(target: Target) -> bool:
    """Whether the target is torch's own: nn.GRU, or the bundled stack of torch's cells."""
    return target.factory in (nn.GRU, StackingGRUCell)


@dataclass(frozen=True)
class ScriptContext:
    """What a script is about.

    Attributes:
        target: the target that violates the law.
        law: the law.
        case: the case that shows the violation.
        message: what the law got and expected.
        strict: as for the law.
        is_control: whether the target is a correct implementation in the place of the wrong one.
        is_exact: whether modules are converted and put into their mode by the methods that the
            laws use, to and train, and not by double, eval and so on.
    """

    target: Target
    law: Law
    case: Case
    message: str
    strict: bool = False
    is_control: bool = False
    is_exact: bool = False

    @property
    def is_of_torch(self) -> bool:
        """Whether torch's own cells differ; the script then needs torch only."""
        return self.target.factory is StackingGRUCell and not self.is_control

    def pair(self) -> Pair:
        """Return a new pair for the case."""
        return Pair(self.target, self.case, strict=self.strict)

    @cached_property
    def unused_pair(self) -> Pair:
        """A pair for the case that nobody calls or changes."""
        return self.pair()

    @cached_property
    def is_literal(self) -> bool:
        """Whether the script shows the case's numbers, and not their seeds."""
        return is_literal(self.case)

    @property
    def is_cell(self) -> bool:
        """Whether the target takes one step per call."""
        return self.target.kind == "cell"

    @property
    def is_formed(self) -> bool:
        """Whether the target is called in another form than nn.GRU's own."""
        case = self.case
        return case.batch_first or case.h0 != "given" or case.form != "plain"

    @property
    def called(self) -> str:
        """The name of what is called like nn.GRU: the target, or a function that adapts it."""
        return "call" if self.target.convention.needs_adapter or self.is_formed else "target"

    def run(self, module: str = "", x: str = "x", h0: str = "h0", steps: int = 0) -> str:
        """Return the text of a call that gives output and hn.

        Args:
            module: the text of what is called; the target if empty.
            x: the input, (T, B, I).
            h0: the state.
            steps: the number of steps in ``x``; the case's if 0.
        """
        module = module or self.called
        if not self.is_cell:
            return f"{module}({x}, {h0})"
        if (steps or self.case.seq_len) == 1:
            first = f"({x})[0]" if re.search("^-| [+*] ", x) else f"{x}[0]"
            return f"{module}({first}, {h0})"
        return f"run({module}, {x}, {h0})"

    def seeded(self, *lines: str, always: bool = False) -> list[str]:
        """Return lines that start from the case's seed, if anything is random or ``always``."""
        matters = always or (self.case.mode == "train" and self.case.dropout > 0)
        return [f"torch.manual_seed({self.case.seed})", *lines] if matters else [*lines]


@dataclass(frozen=True)
class Candidate:
    """What a script does with ``target``, ``reference``, ``x`` and ``h0``.

    Attributes:
        lines: assign ``observed`` and ``expected``.
        allowed: the difference allowed between two tensors; None to compare plain values.
        imports: modules that the lines need besides torch.
        builds: whether the target is built before the lines; otherwise they build it.
        options: further arguments of both constructors.
        weights: lines that give both modules their weights, if those are not the case's.
        functions: texts of functions that the lines call.
        case: the case, if it has other numbers than the violation's.
    """

    lines: tuple[str, ...]
    allowed: float | None = 0.0
    imports: tuple[str, ...] = ()
    builds: bool = True
    options: tuple[tuple[str, object], ...] = ()
    weights: tuple[str, ...] | None = None
    functions: tuple[str, ...] = ()
    case: Case | None = None

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def attempt(seen: str, *lines: str, caught: str = "Exception") -> list[str]:
    """Return lines that run ``lines`` and assign ``observed``: ``seen``, or the error raised."""
    return [
        "try:",
        *(f"    {line}" for line in lines),
        f"    observed = {seen}",
        f"except {caught} as error:",
        '    observed = f"{type(error).__name__}: {error}".splitlines()[0]',
    ]


def own_leaf(name: str) -> str:
    """Return a placeholder of the target's own parameter ``name``; see text._named."""
    return f"<<{name}>>"


#: A placeholder of the target's class in the script; see text._named.
OWN_CLASS = "<<class>>"


#: Before the name of an argument whose value is looked up in ``given``; see own_build.
GIVEN = "given "


def own_build(**changed: object) -> str:
    """Return a placeholder of the text that builds the target; see text._named."""
    return f"<<built {json.dumps(changed)}>>"
