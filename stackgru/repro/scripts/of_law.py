"""The script that is the law itself: its own source, with the functions that it calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from stackgru.cases.case import Case
from stackgru.harness.judge import Seen, Statement, has_tensors, seen_differently, within
from stackgru.repro.scripts.context import (
    OWN_CLASS,
    Candidate,
    ScriptContext,
    attempt,
    own_build,
)
from stackgru.repro.scripts.source import source_of
from stackgru.repro.scripts.text import adapters, call_text, formed, rounded_up

_ARGUMENTS = ("target", "reference", "own", "fresh", "x", "h0", "build", "within")
_AS = {
    "plain": "{0}",
    "leaves": "{0}.requires_grad_()",
    "parameters": "nn.Parameter({0})",
    "results": "{0}.requires_grad_() * 1",
}
_CALLED = '''
class Called(nn.Module):
    """Calls a module as nn.GRU is called."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def holding(self, module):
        """Return another module that is called in the same way."""
        return Called(module)

    def forward(self, x, *state):
'''
_CELL = """
        outputs = []
        for step in x:
            output, *state = {0}(step, *state)
            outputs.append(output)
        return torch.stack(outputs) if len(x) > 1 else output[None], *state
"""
_BUILD = '''
def build():
    """Build another of the class under test."""
    return Called({0})
'''
_WITHIN = '''
def within(*given):
    """Return how far two right outputs, and two right states, may lie apart in this case."""
    return {0}, {1}
'''


def as_numbers(value: Any) -> Any:
    """Return tensors as lists of numbers, also in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [as_numbers(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def of_law(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the law's own source, if it is a plain function of torch, or is made up of some."""
    if context.law.source is not None:
        yield _of_statement(context, context.law.source, *_seen(context, context.law.source))
    for part in context.law.parts:
        seen, bounds = _seen(context, part)
        if seen is not None:
            yield _of_statement(context, part, seen, bounds)


def _of_statement(
    context: ScriptContext, statement: Statement, seen: Seen | Exception | None, bounds: list[str]
) -> Candidate:
    """Return the source of a statement, with what it sees differently or raises."""
    case = context.case
    names = inspect.signature(statement).parameters
    functions, imports = _needed(statement)
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
    given = ", ".join(_given(context, names))
    call = f"{statement.__name__}({given})"
    observed = ["observed, expected = as_numbers(observed), as_numbers(expected)"]
    allowed = None
    if inspect.isgeneratorfunction(statement):
        looked = [f"for what, observed, expected, *_ in {call}:"]
        ran = [f"for _ in {call}:", "    pass"]
    else:
        looked, ran = [f"observed, expected = {call}"], [call]
    if seen is None or isinstance(seen, Exception):
        lines += [*attempt('"it ran"', *ran), 'expected = "it ran"']
    else:
        what, own, right, *error = seen
        lines += looked
        if inspect.isgeneratorfunction(statement):
            lines += [f"    if what == {what!r}:", "        break"]
        if error and isinstance(own, torch.Tensor):
            allowed = float(torch.as_tensor(error[0]).max())
        elif any(has_tensors([one]) for one in (own, right)):
            functions = (*functions, source_of(as_numbers))
            lines += observed
    texts = [_called_text(context), *functions]
    if "build" in names:
        texts.append(_BUILD.format(own_build()))
    if "within" in names:
        texts.append(_WITHIN.format(*bounds))
    return Candidate(
        tuple(lines),
        allowed,
        imports=imports,
        functions=tuple(texts),
        options=tuple(_options(case, names)),
    )


def _options(case: Case, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yield how nn.GRU is to be built where a script of two modules that agree is otherwise."""
    if case.batch_first and "reference" in names:
        yield "batch_first", True
    if case.dropout and "factory" in names:
        yield "dropout", case.dropout


def _given(context: ScriptContext, names: Iterable[str]) -> Iterator[str]:
    """Yield the texts of a law's arguments, by name from the first that is given by name."""
    by_name = False
    for name in names:
        text = name
        if name == "factory":
            text = OWN_CLASS
        elif name not in _ARGUMENTS:
            text = repr(getattr(context.case, name, context.strict))
        by_name = by_name or text != name
        yield f"{name}={text}" if by_name else name


def _seen(
    context: ScriptContext, statement: Statement
) -> tuple[Seen | Exception | None, list[str]]:
    """Return what a law sees differently or raises, and the bounds that it got last."""
    pair, bounds = context.pair(), ["0.0", "0.0"]
    apart = within(pair)

    def noted(*arguments: Any) -> tuple[Any, Any]:
        found = apart(*arguments)
        bounds[:] = [rounded_up(float(one.max())) for one in found]
        return found

    try:
        is_within = "within" in inspect.signature(statement).parameters
        given = {"within": noted} if is_within else {}
        return seen_differently(statement, pair, **given), bounds
    except Exception as error:  # a target may raise anything
        return error, bounds


def _called_text(context: ScriptContext) -> str:
    """Return the class Called, with the functions that it calls."""
    case = context.case
    forms = "".join(f"{source_of(one)}\n\n" for one in adapters(case))
    module = formed(case, "self.module")
    if context.target.convention.needs_adapter:
        forms = call_text(context, "module").strip() + "\n\n\n"
        module = "functools.partial(call, self.module)"
    body = _CELL.strip("\n") if context.is_cell else "        return {0}(x, *state)"
    return f"{forms}{_CALLED.strip()}\n{body.format(module)}\n"


def _needed(statement: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the source of a function and of those that it calls, and the imports of all."""
    sources: dict[str, str] = {}
    imports: dict[str, None] = {}

    def add(function: Any) -> None:
        space = vars(inspect.getmodule(function))
        for name in _names(function):
            found = space.get(name)
            if isinstance(found, ModuleType):
                imports[_import_of(*found.__name__.rpartition(".")[::2], name)] = None
            elif getattr(found, "__module__", "").startswith("stackgru.laws"):
                if name not in sources:
                    sources[name] = ""  # it may call itself
                    add(found)
            elif isinstance(found, type | FunctionType):
                imports[_import_of(found.__module__, found.__name__, name)] = None
            elif isinstance(found, tuple) and name.isupper():
                sources[name] = f"{name} = {found!r}\n"
        sources.pop(function.__name__, None)
        sources[function.__name__] = source_of(function)

    add(statement)
    return tuple(sources.values()), tuple(imports)


def _import_of(module: str, found: str, name: str) -> str:
    """Return what is imported under a name, as text._import_line takes it."""
    renamed = f" as {name}" if found != name else ""
    return f"{module} {found}{renamed}".strip()


def _names(function: Any) -> list[str]:
    """Return the names that a function, or a class's functions, look up in their module."""
    if isinstance(function, type):
        found = [_names(one) for one in vars(function).values() if isinstance(one, FunctionType)]
        bases = [one.__name__ for one in function.__bases__]
        return [*bases, *(name for names in found for name in names)]

    def of(code: CodeType) -> list[str]:
        nested = [of(one) for one in code.co_consts if isinstance(one, CodeType)]
        return [*code.co_names, *(name for names in nested for name in names)]

    return of(function.__code__)
