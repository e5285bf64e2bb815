"""The text of a script: one Python file that needs only torch and the target."""

from __future__ import annotations

import json
import re
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Any

from stackgru.cases.case import Case
from stackgru.harness import forms
from stackgru.repro.replay import AGREE, DIFFER
from stackgru.repro.scripts.context import GIVEN, OWN_CLASS, Candidate, ScriptContext
from stackgru.repro.scripts.setup import (
    NoScript,
    built,
    reference_text,
    tensor_text,
    weight_lines,
)
from stackgru.repro.scripts.source import source_of
from stackgru.targets.importing import RENAMED, import_target

#: The target's name in scripts about torch's own cells.
TORCH_CELL = "torch.nn.GRUCell"
_WIDTH, _MESSAGE = 100, 240

_RUN = '''
def run(module, x, state):
    """Call a cell step by step; return all outputs, and the last state."""
    outputs = []
    for step in x:
        output, state = module(step, state)
        outputs.append(output)
    return torch.stack(outputs), state
'''

_DRAWN = '''
def drawn(seed, *shape, scale=1.0):
    """Return normal numbers from a seed of their own."""
    source = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=source) * scale
'''

_DRAWN_WHOLE = '''
def drawn(seed, *shape, scale=1.0, whole=False):
    """Return normal numbers from a seed of their own, or these times four as whole numbers."""
    source = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, dtype=torch.float64, generator=source)
    return ((numbers * 4).round() if whole else numbers) * scale
'''


def script_text(context: ScriptContext, candidate: Candidate) -> str:
    """Return a script; raise NoScript if the target cannot be imported or built in a file."""
    context = replace(context, case=candidate.case or context.case)
    candidate = _named(context, candidate)
    uses = _uses(context, candidate)
    setting_up = _set_up(context, candidate, uses)
    everything = "\n".join([candidate.text, setting_up, *candidate.functions])
    needs_nn = "nn." in everything or context.is_of_torch
    plain = {"sys", *(name for name in candidate.imports if not name.startswith("torch"))}
    parts = [
        _docstring(context),
        "\n".join(map(_import_line, sorted(plain))),
        "\n".join(_torch_imports(candidate, needs_nn, packs="packed(" in everything)),
        *([] if context.is_of_torch else ["\n".join(_import_lines(context))]),
    ]
    drawn = _DRAWN_WHOLE if "whole=True" in setting_up else _DRAWN
    functions: list[tuple[str, bool]] = [
        (_STACK, context.is_of_torch),
        (drawn, "drawn(" in setting_up),
        (_RUN, "run" in uses),
        (call_text(context), "call" in uses and context.target.convention.needs_adapter),
        *((source_of(one), True) for one in _adapters(context, uses)),
        *((text, True) for text in candidate.functions),
    ]
    head = "\n\n".join(parts) + "\n"
    shown = [f"\n\n{function.strip()}\n" for function, used in functions if used]
    head += "".join(shown) + "\n" * bool(shown)
    return f"{head}\n{setting_up}\n{candidate.text}\n\n{_comparison(candidate)}\n"


def _import_line(name: str) -> str:
    """Return the line that imports a module, or one of its names: ``module name as other``."""
    module, _, of_it = name.partition(" ")
    if of_it and not of_it.startswith("as "):
        return f"from {module} import {of_it}"
    return f"import {name}"


def _torch_imports(candidate: Candidate, needs_nn: bool, packs: bool) -> Iterator[str]:
    """Yield the lines that import torch, and what the script uses of it."""
    yield "import torch"
    if needs_nn:
        yield "from torch import nn"
    others = {name for name in candidate.imports if name.startswith("torch")}
    yield from map(_import_line, sorted(others - {"torch", "torch nn"}))
    if packs:
        yield "from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence"


def _uses(context: ScriptContext, candidate: Candidate) -> set[str]:
    """Return the names that the candidate uses and the script must define."""
    uses = set(re.findall(r"\b(target|reference|x|h0|run|call)\b", candidate.text))
    if context.called != "call":
        uses -= {"call"}  # the candidate defines it
    return uses | ({"target"} if candidate.builds else set())


def _docstring(context: ScriptContext) -> str:
    name = TORCH_CELL if context.is_of_torch else context.target.name
    # The script prints how far apart the two are.
    message = re.sub(r" \(\d+ of \d+ elements differ, .*\)$", "", context.message)
    message = textwrap.shorten(message, _MESSAGE, placeholder=" ...")  # torch may give advice
    first = textwrap.fill(f"{name} is not nn.GRU: {message}.", _WIDTH - len('"""'))
    statement = context.law.statement.partition(". ")[0].rstrip(".")
    second = textwrap.fill(f"The law {context.law.name}: {statement}.", _WIDTH)
    escaped = f"{first}\n\n{second}".replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{escaped}\n"""'


def _import_lines(context: ScriptContext) -> list[str]:
    """Return the lines that import the target, from its folder if that is not installed."""
    place, _, attribute = context.target.name.rpartition(":")
    top = attribute.partition(".")[0]
    if "<locals>" in attribute or place == "__main__":
        raise NoScript(f"{context.target.name} cannot be imported from another file")
    try:
        module = import_target(f"{place}:__name__")
        found = import_target(f"{place}:__file__")
    except Exception as error:
        raise NoScript(f"{context.target.name} cannot be imported from another file") from error
    # A file whose name was taken was imported under another one.
    name = module.removeprefix(RENAMED)
    folder = Path(found).resolve().parents[_depth(name, found)]
    installed = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib")}
    line = f"from {name} import {top}  # the class under test"
    if str(folder) in installed:
        return [line]
    if not folder.is_relative_to(Path.cwd()):
        return [f"sys.path.insert(0, {str(folder)!r})  # the folder of the class", line]
    here = str(folder.relative_to(Path.cwd()))
    return [f"sys.path[:0] = [{here!r}, {str(folder)!r}]  # the folder of the class", line]


_STACK = '''
class Stack(nn.Module):
    """A stack of nn.GRUCell, one step per call, with dropout between layers."""

    def __init__(self, input_size, hidden_size, num_layers, dropout=0.0, bias=True):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.grus = nn.ModuleList(nn.GRUCell(size, hidden_size, bias) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, h0):
        hn = []
        for layer, cell in enumerate(self.grus):
            hn.append(cell(x, h0[layer]))
            x = self.dropout(hn[-1]) if layer < len(self.grus) - 1 else hn[-1]
        return x, torch.stack(hn)
'''


def _depth(name: str, file: str) -> int:
    return name.count(".") + (Path(file).name == "__init__.py")


def _set_up(context: ScriptContext, candidate: Candidate, uses: set[str]) -> str:
    """Return the lines that build the modules and tensors that are used."""
    case, lines = context.case, []
    if candidate.builds and "target" in uses:
        text = built(context, **dict(candidate.options))
        lines.append(f"target = {text}")
        if text.endswith(".eval()") and not _eval_gives_it_back(context):
            lines[-1:] = [f"target = {text.removesuffix('.eval()')}", "target.eval()"]
    if "reference" in uses:
        lines.append(f"reference = {reference_text(context, **dict(candidate.options))}")
    if candidate.weights is not None:
        lines += candidate.weights
    elif candidate.builds and "target" in uses:
        lines += weight_lines(context, with_reference="reference" in uses)
    if _adapters(context, uses):
        lines.append(f"call = {formed(case, 'target')}")
        if case.lengths and "reference" in uses:
            lines.append(f"reference = {formed(replace(case, h0='given'), 'reference')}")
    shapes = {
        "x": (case.seq_len, case.batch, case.input_size),
        "h0": case.state_shape,
    }
    meaning = {"x": "(steps, rows, input_size)", "h0": "(layers, rows, hidden_size)"}
    for name, drawn_as in (("x", "input"), ("h0", "h0")):
        if name in uses and not _is_made(name, candidate):
            value = tensor_text(context, drawn_as, shapes[name], dtype=True)
            if name == "h0" and not context.target.convention.takes_state:
                sizes = ", ".join(map(str, shapes[name]))
                value = f"torch.zeros({sizes}, dtype=torch.{case.dtype})"
            lines.append(f"{name} = {value}  # {meaning[name]}")
    return "\n".join(lines) + "\n"


def _is_made(name: str, candidate: Candidate) -> bool:
    """Whether the candidate's first line with a name gives it a value, not made of its old one."""
    line = next(line for line in candidate.text.splitlines() if re.search(rf"\b{name}\b", line))
    given, equals, value = line.partition(" = ")
    own, used = (re.search(rf"\b{name}\b", text) for text in (given, value))
    return bool(equals and own and not used)


def _eval_gives_it_back(context: ScriptContext) -> bool:
    """Return whether the target's own eval() returns the target, as nn.Module's does."""
    module = context.unused_pair.module
    module = getattr(module, "module", module)
    return module.eval() is module


def _named(context: ScriptContext, candidate: Candidate) -> Candidate:
    """Return the candidate with its placeholders replaced by the target's own names and builds."""
    functions = tuple(_with_builds(context, text) for text in candidate.functions)
    own_class = context.target.name.rpartition(":")[2]
    lines = (_with_builds(context, one).replace(OWN_CLASS, own_class) for one in candidate.lines)
    candidate = replace(candidate, functions=functions, lines=tuple(lines))
    if "<<" not in candidate.text:
        return candidate
    pair = context.unused_pair
    module = getattr(pair.module, "module", pair.module)
    keys = {id(value): key for key, value in module.named_parameters()}
    names = {place: keys.get(id(leaf)) for place, leaf in pair.weights.leaves.items()}

    def own(match: re.Match[str]) -> str:
        if names.get(match[1]) is None:
            raise NoScript("the weights of its layers are not parameters of its own")
        return f"target.get_parameter({names[match[1]]!r})"

    return replace(
        candidate, lines=tuple(re.sub("<<(.*?)>>", own, line) for line in candidate.lines)
    )


def _with_builds(context: ScriptContext, text: str) -> str:
    """Return a text with the placeholders of builds replaced; see context.own_build."""

    def shown(match: re.Match[str]) -> str:
        whole = built(context, **json.loads(match[1]))
        return re.sub(f"'{GIVEN}(.*?)'", r'given["\1"]', whole)

    return re.sub("<<built (.*?)>>", shown, text)


_IN = {
    "stacked": "state",
    "batch-first": "state.movedim(0, -2).contiguous()",
    "tuple": "(state,)",
    "list": "list(state.unbind(0))",
    "concatenated": "state.movedim(0, -2).flatten(-2)",
    "none": "",
}
_OUT = {
    "stacked": "new",
    "batch-first": "new.movedim(-2, 0)",
    "tuple": "new[0]",
    "list": "torch.stack(list(new))",
    "concatenated": "new.unflatten(-1, (len(state), -1)).movedim(-2, 0)",
    "none": "new",
}


def call_text(context: ScriptContext, *first: str) -> str:
    """Return a function that calls the target, or a given module, by the target's convention."""
    module = first[0] if first else "target"
    convention = context.target.convention
    x = "x[None]" if convention.time_axis else "x"
    x = "x.transpose(0, 1)" if convention.batch_first else x
    output = "output[0]" if convention.time_axis else "output"
    output = "output.transpose(0, 1)" if convention.batch_first else output
    given, new = _IN[convention.state], _OUT[convention.state]
    call, x = x, f"{x}, {given}" if given else x
    lines = [f"def call({', '.join((*first, 'x', 'state'))}):"]
    if convention.returns == "output":
        lines += [
            f"    output = {module}({x})",
            f"    output = {output}" if convention.batch_first else "",
            "    hn = torch.zeros_like(state)",
            "    hn[-1] = output[-1]  # the only state that it shows",
            "    return output, hn",
        ]
    elif convention.returns == "state":
        lines += [f"    new = {module}({x})", f"    hn = {new}", "    return hn[-1], hn"]
    elif convention.returns == "state, output":
        lines += [f"    new, output = {module}({x})", f"    return {output}, {new}"]
    elif convention.state == "list":
        lines += [
            f"    states = {given}",
            f"    result = {module}({call}, states)  # returns new states, or changes these",
            "    output, new = result if isinstance(result, tuple) else (result, states)",
            f"    return {output}, {new}",
        ]
    else:
        lines += [f"    output, new = {module}({x})", f"    return {output}, {new}"]
    return "\n" + "\n".join(filter(None, lines)) + "\n"


def _adapters(context: ScriptContext, uses: set[str]) -> list[Callable[..., Any]]:
    """Return the functions that call a module in the case's form, if the script does."""
    is_formed = "call" in uses and not context.target.convention.needs_adapter
    return adapters(context.case) if is_formed else []


def adapters(case: Case) -> list[Callable[..., Any]]:
    """Return the functions that call a module in a case's form."""
    found: list[tuple[Callable[..., Any], bool]] = [
        (forms.batch_first, case.batch_first),
        (forms.unbatched, case.form == "unbatched"),
        (forms.packed, case.form.startswith("packed")),
        (forms.left_out, case.h0 != "given"),
    ]
    return [one for one, is_used in found if is_used]


def formed(case: Case, module: str) -> str:
    """Return the text of a module that is called in the case's form; see forms.Form.of."""
    whole = f"batch_first({module})" if case.batch_first else module
    if case.form == "unbatched":
        whole = f"unbatched({module}, {whole})"
    elif case.form != "plain":
        lengths, is_sorted = case.row_lengths, case.form == "packed-sorted"
        given = f"{case.seq_len}, {lengths}, enforce_sorted={is_sorted}"
        whole = f"packed({module}, {module}, {given})"
    if case.h0 == "given":
        return whole
    return f"left_out({whole}{', None' * (case.h0 == 'none')})"


def rounded_up(bound: float) -> str:
    """Return a bound rounded up to three digits."""
    return f"{Context(prec=3, rounding=ROUND_CEILING).create_decimal_from_float(bound):g}"


def _comparison(candidate: Candidate) -> str:
    if candidate.allowed is None:
        return f"""print("observed:", observed)
print("expected:", expected)
print("{AGREE}" if observed == expected else "{DIFFER}")
sys.exit(observed != expected)"""
    allowed = rounded_up(candidate.allowed)
    within = f"rtol=0, atol={allowed}, equal_nan=True"
    return f"""print("observed:", observed.tolist())
print("expected:", expected.tolist())
difference = (observed - expected).abs().max().item()
print(f"difference: {{difference:.3g}}; rounding allows {allowed}")
agree = torch.allclose(observed, expected, {within})
print("{AGREE}" if agree else "{DIFFER}")
sys.exit(not agree)"""
