"""The text of a script: one Python file that needs torch and the target only."""

from __future__ import annotations

import json
import re
import sysconfig
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stackgru.cases import Case, factor_of, seed_of, spread
from stackgru.constructing import arguments_of
from stackgru.loading import import_target
from stackgru.numbers import is_literal, tensors_of
from stackgru.pairs import Pair
from stackgru.replaying import AGREE, DIFFER
from stackgru.reporting.scripts.scene import Body, Scene
from stackgru.weights import gru_name, parameter_shapes

_WIDTH = 100

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


class NoScript(Exception):
    """There can be no script for this target; the message is the reason."""


def script_text(scene: Scene, body: Body) -> str:
    """Return a script.

    Args:
        scene: what it is about.
        body: what it does.

    Raises:
        NoScript: if the target cannot be named or built in a file of its own.
    """
    body = _named(scene, body)
    uses = set(re.findall(r"\b(target|reference|x|h0|run|call|nn|dtype)\b", body.text))
    uses |= {"target"} if body.builds else set()
    if scene.called != "call":
        uses -= {"call"}
    elif "call" in uses:
        uses |= {"target"}
    setting_up = _set_up(scene, body, uses)
    imports = sorted({"sys", *body.imports})
    path, target_import = _import_lines(scene)
    parts = [
        _docstring(scene),
        "\n".join(f"import {name}" for name in imports),
        "\n".join(["import torch"] + ["from torch import nn"] * ("nn." in body.text + setting_up)),
        "\n".join([*path, target_import]),
    ]
    drawn = _DRAWN_WHOLE if "whole=True" in setting_up else _DRAWN
    functions = [drawn] * ("drawn(" in setting_up) + [_RUN] * ("run" in uses)
    functions += [_call_text(scene)] * ("call" in uses)
    head = "\n\n".join(parts) + "\n"
    head += "".join(f"\n{function.rstrip()}\n\n" for function in functions)
    return f"{head}\n{setting_up}\n{body.text}\n\n{_comparison(body)}\n"


def _docstring(scene: Scene) -> str:
    name = scene.target.name
    first = textwrap.fill(f"{name} is not nn.GRU: {scene.message}.", _WIDTH)
    statement = scene.law.statement.partition(". ")[0].rstrip(".")
    second = textwrap.fill(f"The law {scene.law.name}: {statement}.", _WIDTH)
    escaped = f"{first}\n\n{second}".replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{escaped}\n"""'


def _import_lines(scene: Scene) -> tuple[list[str], str]:
    """Return the lines that put the target where it is found, and import it."""
    place, _, attribute = scene.target.name.rpartition(":")
    top = attribute.partition(".")[0]
    if "<locals>" in attribute or place == "__main__":
        raise NoScript(f"{scene.target.name} cannot be imported from another file")
    try:
        module = import_target(f"{place}:__name__")
        found = import_target(f"{place}:__file__")
    except Exception as error:
        raise NoScript(f"{scene.target.name} cannot be imported from another file") from error
    is_file = place.endswith(".py") or "/" in place
    name = Path(place).stem if is_file else module
    folder = Path(found).resolve().parents[0 if is_file else _depth(name, found)]
    installed = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib")}
    line = f"from {name} import {top}  # the class under test"
    if str(folder) in installed:
        return [], line
    return [f"sys.path.insert(0, {str(folder)!r})  # where it lies"], line


def _depth(name: str, file: str) -> int:
    return name.count(".") + (Path(file).name == "__init__.py")


def _set_up(scene: Scene, body: Body, uses: set[str]) -> str:
    """Return the lines that build both modules and their tensors, as far as they are used."""
    case, lines = scene.case, []
    if body.builds and "target" in uses:
        lines.append(f"target = {built(scene, **dict(body.options))}")
    if "reference" in uses:
        lines.append(f"reference = {reference_text(scene, **dict(body.options))}")
    if body.weights is not None:
        lines += body.weights
    elif body.builds and "target" in uses:
        lines += _weight_lines(scene, with_reference="reference" in uses)
    shapes = {
        "x": (case.seq_len, case.batch, case.input_size),
        "h0": (case.num_layers, case.batch, case.hidden_size),
    }
    meaning = {"x": "(steps, rows, input_size)", "h0": "(layers, rows, hidden_size)"}
    for name, drawn_as in (("x", "input"), ("h0", "h0")):
        if name in uses and f"{name} = " not in body.text.partition("\n")[0]:
            value = _tensor(case, drawn_as, shapes[name], dtype=True)
            lines.append(f"{name} = {value}  # {meaning[name]}")
    return "\n".join(lines) + "\n"


def built(scene: Scene, **changed: object) -> str:
    """Return the text that builds the target for the case, in its dtype and mode."""
    convention, case = scene.target.convention, scene.case
    positional, by_name = arguments_of(convention, scene.target.name)
    values: dict[str, object] = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "dropout": case.dropout,
        "bias": case.bias,
        "batch_first": False,
        **changed,
    }
    arguments = [repr(values[key]) for key in positional]
    for parameter, key in by_name.items():
        if key not in ("device", "dtype") and not (key == "bias" and case.bias):
            arguments.append(f"{parameter}={values[key]!r}")
    given = {*positional, *by_name.values()}
    arguments += [f"{key}={value!r}" for key, value in changed.items() if key not in given]
    for key, value in (convention.constants or {}).items():
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise NoScript(f"the constant {key} of its Convention has no text")
        arguments.append(f"{key}={value!r}")
    name = scene.target.name.rpartition(":")[2]
    return f"{name}({', '.join(arguments)}){_as(scene.case)}"


def reference_text(scene: Scene, **changed: object) -> str:
    """Return the text that builds nn.GRU for the case."""
    case = scene.case
    has_bias = case.bias and scene.pair().reference.bias
    options = {"dropout": case.dropout} if case.num_layers > 1 and case.dropout else {}
    options |= {} if has_bias else {"bias": False}
    shown = "".join(f", {key}={value!r}" for key, value in {**options, **changed}.items())
    sizes = f"{case.input_size}, {case.hidden_size}, {case.num_layers}"
    return f"nn.GRU({sizes}{shown}){_as(case)}"


def _as(case: Case) -> str:
    dtype = {"float32": "", "float64": ".double()", "float16": ".half()", "bfloat16": ".bfloat16()"}
    return dtype[case.dtype] + (".eval()" if case.mode == "eval" else "")


def _named(scene: Scene, body: Body) -> Body:
    """Return the body with the names of the target's parameters in place of what stands there."""
    if "<<" not in body.text:
        return body
    if "<<built" in body.text:
        lines = (
            re.sub("<<built (.*?)>>", lambda m: built(scene, **json.loads(m[1])), line)
            for line in body.lines
        )
        body = replace(body, lines=tuple(lines))
    pair = scene.pair()
    module = getattr(pair.module, "module", pair.module)
    keys = {id(value): key for key, value in module.named_parameters()}
    names = {place: keys.get(id(leaf)) for place, leaf in pair.weights.leaves.items()}

    def own(match: re.Match[str]) -> str:
        if names.get(match[1]) is None:
            raise NoScript("the weights of its layers are not parameters of its own")
        return f"target.get_parameter({names[match[1]]!r})"

    return replace(body, lines=tuple(re.sub("<<(.*?)>>", own, line) for line in body.lines))


def _weight_lines(scene: Scene, *, with_reference: bool) -> list[str]:
    """Return the lines that give the modules the case's weights."""
    case, pair = scene.case, scene.pair()
    sizes = case.input_size, case.hidden_size, case.num_layers, case.bias and pair.reference.bias
    texts = {}
    for layer, shapes in enumerate(parameter_shapes(*sizes)):
        for name, shape in shapes.items():
            there = name in pair.layers[layer]
            text = _tensor(case, f"{name} {layer}", shape) if there else "torch.zeros()"
            texts[gru_name(name, layer)] = text
    shown = {key: text for key, text in texts.items() if not text.startswith("torch.zeros(")}
    names = _own_names(pair)
    modules = ("target", "reference") if with_reference else ("target",)
    if not shown:
        lines = [f"for parameter in {_every(modules)}:", "    nn.init.zeros_(parameter)"]
        return lines
    if names is None and not with_reference:
        return [
            "weights = [",
            *(f"    {text},  # {name}" for name, text in texts.items()),
            "]",
            "with torch.no_grad():",
            "    for parameter, value in zip(target.parameters(), weights):",
            "        parameter.copy_(value)",
        ]
    lines = ["weights = {", *(f'    "{key}": {text},' for key, text in shown.items()), "}"]
    if len(shown) == 1:
        lines = [f"weights = {{{lines[1].strip(' ,')}}}"]
    value = "weights[name]"
    if len(shown) < len(texts):
        lines[-1] += "  # all others are zeros"
        value = "weights.get(name, torch.tensor(0.0))"
    if names is None:
        return [
            *lines,
            "with torch.no_grad():",
            "    both = zip(reference.named_parameters(), target.parameters())",
            "    for (name, right), own in both:",
            f"        own.copy_(right.copy_({value}))",
        ]
    return [*lines, *_by_name(names, value, modules, len(names) < len(texts))]


def _every(modules: Sequence[str]) -> str:
    each = [f"{module}.parameters()" for module in modules]
    return each[0] if len(each) == 1 else f"({', '.join(f'*{one}' for one in each)})"


def _by_name(
    names: dict[str, str], value: str, modules: Sequence[str], incomplete: bool
) -> list[str]:
    """Return the lines that give each parameter of the target its weight by its name."""
    right = [f"        reference.get_parameter(name).copy_({value})"] * (len(modules) - 1)
    zeros = ["for parameter in reference.parameters():", "    nn.init.zeros_(parameter)"]
    first = zeros if incomplete and right else []  # biases that only nn.GRU has
    if all(key == name for key, name in names.items()):
        each, own = ["    for name in weights:"], "name"
        if "get(" in value:
            each = ["    for name, _ in target.named_parameters():"]
    else:
        table = [f'    "{key}": "{name}",' for key, name in names.items()]
        first = [*first, "names = {", *table, "}"]
        each, own = ["    for name, own in names.items():"], "own"
    copied = f"        target.get_parameter({own}).copy_({value})"
    return [*first, "with torch.no_grad():", *each, copied, *right]


def _own_names(pair: Pair) -> dict[str, str] | None:
    """Return the target's names of nn.GRU's parameters; None if they come in the same order."""
    module = getattr(pair.module, "module", pair.module)
    wanted = {
        gru_name(name, index): value
        for index, layer in enumerate(pair.layers)
        for name, value in layer.items()
    }
    complete = list(wanted) == [name for name, _ in pair.reference.named_parameters()]
    own = list(module.parameters())
    in_order = len(own) >= len(wanted) and all(
        a is b for a, b in zip(own, wanted.values(), strict=False)
    )
    if complete and in_order:
        return None
    every = list(module.named_parameters(remove_duplicate=False))
    names: dict[str, str] = {}
    for key, value in wanted.items():
        found = [name for name, parameter in every if parameter is value]
        if not found:
            raise NoScript("the weights of its layers are not parameters of its own")
        names[key] = next((name for name in found if name not in names.values()), found[0])
    return names


def _tensor(case: Case, name: str, shape: Sequence[int], *, dtype: bool = False) -> str:
    """Return the text of a tensor: its numbers, or what they are drawn from."""
    values = tensors_of(case)[name]
    kind = f", dtype=torch.{case.dtype}" if dtype and case.dtype != "float32" else ""
    if values.numel() == 0 or not bool(values.any()):
        return f"torch.zeros({', '.join(map(str, shape))}{kind})"
    if not is_literal(case):
        return _drawn(case, name, shape, dtype=dtype)
    exact = bool((values.double() == values.float().double()).all())
    kind = kind or ("" if exact else ", dtype=torch.float64")
    numbers = re.sub(r"\b(nan|inf)\b", r'float("\1")', repr(values.double().tolist()))
    return f"torch.tensor({numbers}{kind})"


def _drawn(case: Case, name: str, shape: Sequence[int], *, dtype: bool) -> str:
    """Return the text that draws a tensor as the case does."""
    magnitude, scale = spread(case, name, shape)
    factor = factor_of(case.torch_dtype, magnitude, scale)
    whole = ", whole=True" if magnitude == "subnormal" else ""
    sizes = ", ".join(map(str, shape))
    scaled = f", scale={factor!r}" if factor != 1 else ""
    cast = f".to(torch.{case.dtype})" if dtype and case.dtype != "float64" else ""
    return f"drawn({seed_of(case, name)}, {sizes}{scaled}{whole}){cast}"


_IN = {
    "stacked": "state",
    "batch-first": "state.movedim(0, -2).contiguous()",
    "tuple": "(state,)",
    "list": "list(state.unbind(0))",
    "concatenated": "state.movedim(0, -2).flatten(-2)",
}
_OUT = {
    "stacked": "new",
    "batch-first": "new.movedim(-2, 0)",
    "tuple": "new[0]",
    "list": "torch.stack(list(new))",
    "concatenated": "new.unflatten(-1, (len(state), -1)).movedim(-2, 0)",
}


def _call_text(scene: Scene) -> str:
    """Return the function that calls the target by its convention as nn.GRU is called."""
    convention = scene.target.convention
    x = "x[None]" if convention.time_axis else "x"
    output = "output[0]" if convention.time_axis else "output"
    given, new = _IN[convention.state], _OUT[convention.state]
    lines = [
        "def call(x, state):",
        '    """Call the target by its own convention; return output and state as nn.GRU does."""',
    ]
    if convention.returns == "state":
        lines += [f"    new = target({x}, {given})", f"    hn = {new}", "    return hn[-1], hn"]
    elif convention.returns == "state, output":
        lines += [f"    new, output = target({x}, {given})", f"    return {output}, {new}"]
    elif convention.state == "list":
        lines += [
            f"    states = {given}",
            f"    result = target({x}, states)  # gives new states, or changes those in place",
            "    output, new = result if isinstance(result, tuple) else (result, states)",
            f"    return {output}, {new}",
        ]
    else:
        lines += [f"    output, new = target({x}, {given})", f"    return {output}, {new}"]
    return "\n" + "\n".join(lines) + "\n"


def _comparison(body: Body) -> str:
    if body.allowed is None:
        return f"""print("observed:", observed)
print("expected:", expected)
print("{AGREE}" if observed == expected else "{DIFFER}")
sys.exit(observed != expected)"""
    within = f"rtol=0, atol={body.allowed:.3g}, equal_nan=True"
    return f"""print("observed:", observed.tolist())
print("expected:", expected.tolist())
difference = (observed - expected).abs().max().item()
print(f"difference: {{difference:.3g}}, where rounding allows {body.allowed:.3g}")
agree = torch.allclose(observed, expected, {within})
print("{AGREE}" if agree else "{DIFFER}")
sys.exit(not agree)"""
