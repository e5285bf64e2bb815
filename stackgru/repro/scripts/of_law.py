"""The script that is the law itself: its own source, with the functions that it calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from stackgru.cases.case import Case
from stackgru.harness.judge import has_tensors, seen_differently
from stackgru.outcomes import Violated
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt, own_build
from stackgru.repro.scripts.source import source_of
from stackgru.repro.scripts.text import adapters, formed

_ARGUMENTS = ("target", "reference", "x", "h0", "build")
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
            output, *state = self.module(step, *state)
            outputs.append(output)
        return torch.stack(outputs) if len(x) > 1 else output[None], *state
"""
_BUILD = '''
def build():
    """Build another of the class under test."""
    return Called({0})
'''


def as_numbers(value: Any) -> Any:
    """Return tensors as lists of numbers, also in tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [as_numbers(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def of_law(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the law's own source, if it is a plain function of torch."""
    statement, case = context.law.source, context.case
    if statement is None or context.target.convention.needs_adapter:
        return
    names = inspect.signature(statement).parameters
    values = {name: getattr(case, name, context.strict) for name in names}
    given = [name if name in _ARGUMENTS else f"{name}={values[name]!r}" for name in names]
    call = f"{statement.__name__}({', '.join(given)})"
    functions, imports = _needed(statement)
    wrapped = _ARGUMENTS[: 1 if context.is_cell else 2]
    lines = [f"{name} = Called({name})" for name in names if name in wrapped]
    if case.arguments != "plain" and case.records:
        lines += [f"{name} = {_AS[case.arguments].format(name)}" for name in ("x", "h0")]
    try:
        seen = seen_differently(statement, context.pair())
    except Violated:
        seen = None
    except Exception:
        seen = None
    if seen is None:
        lines += [*attempt('"it ran"', f"for _ in {call}:", "    pass"), 'expected = "it ran"']
    else:
        what, own, right = seen
        lines += [
            f"for what, observed, expected in {call}:",
            f"    if what == {what!r}:",
            "        break",
        ]
        if any(has_tensors([one]) for one in (own, right)):
            functions = (*functions, source_of(as_numbers))
            lines.append("observed, expected = as_numbers(observed), as_numbers(expected)")
    texts = [_called_text(context), *functions]
    if "build" in names:
        texts.append(_BUILD.format(own_build()))
    yield Candidate(tuple(lines), allowed=None, imports=imports, functions=tuple(texts))


def _called_text(context: ScriptContext) -> str:
    case: Case = context.case
    body = _CELL.strip("\n") if context.is_cell else ""
    forms = "".join(f"{source_of(one)}\n\n" for one in adapters(case))
    if not context.is_cell or forms:
        body = body or f"        return {formed(case, 'self.module')}(x, *state)"
    return f"{forms}{_CALLED.strip()}\n{body}\n"


def _needed(statement: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the source of a function and of those that it calls, and the imports of all."""
    sources: dict[str, str] = {}
    imports: dict[str, None] = {}

    def add(function: Any) -> None:
        space = vars(inspect.getmodule(function))
        for name in _names(function):
            found = space.get(name)
            if isinstance(found, ModuleType):
                whole, _, last = found.__name__.rpartition(".")
                imports[found.__name__ if last == name and not whole else f"{whole} {name}"] = None
            elif getattr(found, "__module__", "").startswith("stackgru.laws"):
                if name not in sources:
                    sources[name] = ""  # it may call itself
                    add(found)
            elif isinstance(found, type | FunctionType):
                imports[f"{found.__module__} {name}"] = None
            elif isinstance(found, tuple) and name.isupper():
                sources[name] = f"{name} = {found!r}\n"
        sources.pop(function.__name__, None)
        sources[function.__name__] = source_of(function)

    add(statement)
    return tuple(sources.values()), tuple(imports)


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
