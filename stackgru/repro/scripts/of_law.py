"""The script that is the law itself: its own source, with the functions that it calls."""

from __future__ import annotations

import functools
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from stackgru.cases.case import Case
from stackgru.harness.judge import Seen, Statement, has_tensors, seen_differently, within
from stackgru.harness.pair import TargetRaised
from stackgru.options import ARGUMENTS
from stackgru.outcomes import Violated
from stackgru.repro.scripts.context import (
    GIVEN,
    OWN_CLASS,
    Candidate,
    ScriptContext,
    attempt,
    own_build,
)
from stackgru.repro.scripts.settings import settings_texts
from stackgru.repro.scripts.source import source_of
from stackgru.repro.scripts.text import adapters, call_text, formed, rounded_up
from stackgru.targets.construct import taken

_ARGUMENTS = (
    "target",
    "reference",
    "own",
    "fresh",
    "x",
    "h0",
    "build",
    "within",
    "settings",
    "construct",
    "unchecked",
)
_AS = {
    "plain": "{0}",
    "leaves": "{0}.requires_grad_()",
    "parameters": "nn.Parameter({0})",
    "results": "{0}.requires_grad_() * 1",
}
_CALLED = """
class Called(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, *state):
"""
_HOLDING = """
    def holding(self, module):
        return Called(module)
"""
_CELL = """
        outputs = []
        for step in x:
            output, *state = {0}(step, *state)
            outputs.append(output)
        return torch.stack(outputs) if len(x) > 1 else output[None], *state
"""
_BUILD = """
def build():
    return Called({0})
"""
_CONSTRUCT = """
def construct(**options):
    given = {0!r} | options
    return {1}
"""
_OFTEN = 50
#: How a candidate compares: the first that shows a violation, and agrees for what is right.
_WAYS = ("once", "if it is there", "often")
_TRIES = 5  # of a law that sees nothing at first, since what a race does shows now and then
_WITHIN = """
def within(x, h0, *others):
    return torch.full((*x.shape[:2], {0}), {1}), torch.full(h0.shape, {2})
"""


def as_numbers(value: Any) -> Any:
    """Return tensors as lists of numbers, also in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [as_numbers(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def as_kinds(value: Any) -> Any:
    """Return tensors as their dtypes and shapes, also in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [as_kinds(one) for one in value]
    return (value.dtype, tuple(value.shape)) if hasattr(value, "shape") else value


def of_law(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the law's own source, if it is a plain function of torch, or is made up of some."""
    if context.law.source is not None:
        tries = [_seen(context, context.law.source)]
        while not tries[-1].differs and len(tries) < _TRIES:
            tries.append(_seen(context, context.law.source))
        for how in _WAYS[:1] if context.is_control else _WAYS:
            yield _of_statement(context, context.law.source, tries[-1], how)
    for part in context.law.parts:
        seen = _seen(context, part)
        for how in _WAYS[:2] if seen.differs else ():
            yield _of_statement(context, part, seen, how)


def _of_statement(
    context: ScriptContext, statement: Statement, found: _Found, how: str = "once"
) -> Candidate:
    """Return the source of a statement, with what it sees differently or raises."""
    case, names = context.case, inspect.signature(statement).parameters
    functions, imports = _needed(statement, found.line)
    wrapped = ("target",) if context.is_cell else ("target", "reference")
    lines = [f"{name} = Called({name})" for name in names if name in wrapped]
    if "own" in names:
        lines.insert(0, "own = target")
    if "fresh" in names:
        lines.append("fresh = copy.deepcopy(target)")
        imports = ("copy", *imports)
    if case.arguments != "plain" and case.records:
        lines += [f"{name} = {_AS[case.arguments].format(name)}" for name in ("x", "h0")]
    if context.target.convention.needs_adapter:
        imports = ("functools", *imports)
    texts = [_called_text(context, any("holding(" in text for text in functions)), *functions]
    if "settings" in names:
        text, first, needed = settings_texts(found.seen[0] if found.seen else "", case)
        texts.append(text)
        lines, imports = [*first, *lines], (*needed, *imports)
    if "unchecked" in names:
        lines.append("unchecked = Called(target)")
    if "construct" in names:
        texts.append(_construct_text(context))
    if "build" in names:
        texts.append(_BUILD.format(own_build()))
    if "within" in names:
        texts.append(_WITHIN.format(case.directions * case.hidden_size, *found.bounds))
    compared, allowed = _compared(context, statement, found, functions[-1])
    if how == "often":
        compared = _repeated(compared, is_of_tensors=allowed is not None)
    if how == "if it is there" and compared[-1] == "        break":
        compared += ["else:", "    observed = expected = None  # what is right has no such thing"]
    for function in (as_numbers, as_kinds):
        if any(f"{function.__name__}(" in line for line in compared):
            texts.append(source_of(function))
    return Candidate(
        (*lines, *compared),
        allowed,
        imports=imports,
        functions=tuple(texts),
        options=tuple(_options(case, names)),
    )


def _repeated(compared: list[str], *, is_of_tensors: bool) -> list[str]:
    """Return lines that compare until there is a difference, for what a race does."""
    differ = "not torch.equal(observed, expected)" if is_of_tensors else "observed != expected"
    return [
        f"for _ in range({_OFTEN}):  # it does not happen every time",
        *(f"    {line}" for line in compared),
        f"    if {differ}:",
        "        break",
    ]


def _options(case: Case, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yield how nn.GRU is to be built where a script of two modules that agree is otherwise."""
    if case.batch_first and "reference" in names:
        yield "batch_first", True
    if case.dropout and "factory" in names:
        yield "dropout", case.dropout


def _compared(
    context: ScriptContext, statement: Statement, found: _Found, shown: str
) -> tuple[list[str], float | None]:
    """Return lines that assign what a law, as shown, sees differently, and how far apart it may."""
    given = ", ".join(_given(context, inspect.signature(statement).parameters))
    call = f"{statement.__name__}({given})"
    looked, ran = [f"observed, expected = {call}"], [call]
    if is_generator := re.search(r"^ +yield\b", shown, re.MULTILINE) is not None:
        looked = [f"for what, observed, expected, *_ in {call}:"]
        ran = [f"for _ in {call}:", "    pass"]
    if found.has_other_form:
        looked = [looked[0].replace("for what,", "for _,")]
        read = _as("as_kinds")
        return [*looked, f"    {read}", "    if observed != expected:", "        break"], None
    if found.seen is None:
        return [*attempt('"it ran"', *ran), 'expected = "it ran"'], None
    what, own, right, *error = found.seen
    if is_generator and found.number is not None:
        looked = [f"for number, (_, observed, expected, *_) in enumerate({call}):"]
        looked += [f"    if number == {found.number}:  # {what}", "        break"]
    elif is_generator:
        looked += [f"    if what == {what!r}:", "        break"]
    is_tensor = isinstance(own, torch.Tensor) and isinstance(right, torch.Tensor)
    if is_tensor and own.shape == right.shape and own.is_floating_point():
        return looked, float(torch.as_tensor(error[0]).max()) if error else 0.0
    if any(has_tensors([one]) for one in (own, right)):
        is_number = as_kinds(own) == as_kinds(right)
        looked.append(_as("as_numbers" if is_number else "as_kinds"))
    return looked, None


def _as(function: str) -> str:
    return f"observed, expected = {function}(observed), {function}(expected)"


def _given(context: ScriptContext, names: Iterable[str]) -> Iterator[str]:
    """Yield the texts of a law's arguments, by name from the first that is given by name."""
    by_name = False
    for name in names:
        text = name
        if name == "factory":
            text = OWN_CLASS
        elif name in ("kind", "takes_no_state"):
            text = repr(getattr(context.target, name))
        elif name not in _ARGUMENTS:
            text = repr(getattr(context.case, name, context.strict))
        by_name = by_name or text != name
        yield f"{name}={text}" if by_name else name


@dataclass(frozen=True)
class _Found:
    """What a law sees differently, if anything, and how far it got.

    ``bounds`` are those of output and hn that it got last, ``line`` the last one that it ran, and
    ``number`` that of what it sees, if it looks at several things of one name.
    """

    seen: Seen | None
    bounds: list[str]
    line: int | None
    has_raised: bool = False
    has_other_form: bool = False
    number: int | None = None

    @property
    def differs(self) -> bool:
        """Whether it does not hold."""
        return self.seen is not None or self.has_raised


def _seen(context: ScriptContext, statement: Statement) -> _Found:
    """Return what a law sees differently."""
    pair, bounds, line = context.pair(), ["0.0", "0.0"], 0
    looked_at: list[str] = []
    apart = within(pair)

    def noted(*arguments: Any) -> tuple[Any, Any]:
        found = apart(*arguments)
        bounds[:] = [rounded_up(float(one.max())) for one in found]
        return found

    @functools.wraps(statement)
    def watched(**arguments: Any) -> Any:
        found = statement(**arguments)
        return by_lines(found) if inspect.isgenerator(found) else found

    def by_lines(found: Any) -> Iterator[Seen]:
        nonlocal line
        for seen in found:
            line = found.gi_frame.f_lineno
            looked_at.append(seen[0])
            yield seen

    try:
        is_within = "within" in inspect.signature(statement).parameters
        given = {"within": noted} if is_within else {}
        seen = seen_differently(watched, pair, **given)
    except Violated as error:
        if not isinstance(error, TargetRaised):  # results of another form, which the harness checks
            return _Found(None, bounds, None, has_raised=True, has_other_form=True)
        return _Found(None, bounds, _line_in(statement, error), has_raised=True)
    except Exception as error:  # a target may raise anything
        return _Found(None, bounds, _line_in(statement, error), has_raised=True)
    number = len(looked_at) - 1 if looked_at[-1:] in ([one] for one in looked_at[:-1]) else None
    return _Found(seen, bounds, line if seen and line else None, number=number)


def _line_in(statement: Statement, error: Exception) -> int | None:
    """Return the line of a law in which an error was raised."""
    frames = traceback.walk_tb(error.__traceback__)
    return next((line for frame, line in frames if frame.f_code is statement.__code__), None)


def _called_text(context: ScriptContext, holds_others: bool) -> str:
    """Return the class Called, with the functions that it calls."""
    case = context.case
    forms = "".join(f"{source_of(one)}\n\n" for one in adapters(case))
    module = formed(case, "self.module")
    if context.target.convention.needs_adapter:
        forms = call_text(context, "module").strip() + "\n\n\n"
        module = "functools.partial(call, self.module)"
    body = _CELL.strip("\n") if context.is_cell else "        return {0}(x, *state)"
    holding = _HOLDING if holds_others else ""
    return f"{forms}{_CALLED.strip()}\n{body.format(module)}\n{holding}"


def _construct_text(context: ScriptContext) -> str:
    """Return a function that builds the target with other sizes, or another rate."""
    known = taken(context.target.convention, context.target.name)
    given = {name: getattr(context.case, name) for name in ARGUMENTS if name in known}
    return _CONSTRUCT.format(given, own_build(**{name: f"{GIVEN}{name}" for name in given}))


def _needed(
    statement: Callable[..., Any], last: int | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the source of a law up to a line and of what it calls, and the imports of all."""
    shown = ("stackgru.laws", statement.__module__)
    sources: dict[str, str] = {}
    imports: dict[str, None] = {}

    def add(function: Any, text: str = "") -> None:
        space = vars(inspect.getmodule(function))
        for name in _names(function, text):
            found = space.get(name)
            if isinstance(found, ModuleType):
                imports[_import_of(*found.__name__.rpartition(".")[::2], name)] = None
            elif getattr(found, "__module__", "").startswith(shown):
                if name not in sources:
                    sources[name] = ""  # it may call itself
                    add(found)
            elif isinstance(found, type | FunctionType):
                imports[_import_of(found.__module__, found.__name__, name)] = None
            elif isinstance(found, tuple) and name.isupper():
                sources[name] = f"{name} = {found!r}\n"
        sources.pop(function.__name__, None)
        sources[function.__name__] = text or source_of(function)

    add(statement, source_of(statement, last, is_law=True))
    return tuple(sources.values()), tuple(imports)


def _import_of(module: str, found: str, name: str) -> str:
    """Return what is imported under a name, as text._import_line takes it."""
    renamed = f" as {name}" if found != name else ""
    return f"{module} {found}{renamed}".strip()


def _names(function: Any, text: str) -> list[str]:
    """Return the names that a function, or a class's functions, look up in their module."""
    if isinstance(function, type):
        found = [
            _names(one, "") for one in vars(function).values() if isinstance(one, FunctionType)
        ]
        bases = [one.__name__ for one in function.__bases__]
        return [*bases, *(name for names in found for name in names)]

    def of(code: CodeType) -> list[str]:
        nested = [of(one) for one in code.co_consts if isinstance(one, CodeType)]
        return [*code.co_names, *(name for names in nested for name in names)]

    if not text:
        return of(function.__code__)
    shown = compile(text, "<shown>", "exec").co_consts
    return [name for one in shown if isinstance(one, CodeType) for name in of(one)]
