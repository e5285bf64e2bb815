"""How a script builds both modules, their weights and their input."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from stackgru.cases.case import Case
from stackgru.cases.tensors import draw_tensor, magnitude_of, scale_of, seed_of
from stackgru.gru.parameters import gru_name, parameter_shapes
from stackgru.harness.pair import Pair
from stackgru.options import ARGUMENTS
from stackgru.repro.scripts.context import ScriptContext
from stackgru.targets.construct import arguments_of


class NoScript(Exception):
    """No script can be written for this target; the message is the reason."""


def built(context: ScriptContext, **changed: object) -> str:
    """Return the text that builds the target for the case, in its dtype and mode."""
    convention, case = context.target.convention, context.case
    for name in ("batch_first", "bidirectional"):
        if getattr(case, name):
            changed.setdefault(name, True)
    positional, by_name = arguments_of(convention, context.target.name)
    values: dict[str, object] = {
        "input_size": case.input_size,
        "hidden_size": case.hidden_size,
        "num_layers": case.num_layers,
        "dropout": case.dropout,
        "bias": case.bias,
        "batch_first": convention.batch_first,
        "bidirectional": False,
        **changed,
    }
    arguments = [repr(values[key]) for key in positional]
    defaults = _defaults(convention.factory)
    for parameter, key in by_name.items():
        is_default = key not in ARGUMENTS and defaults.get(parameter) == values.get(key)
        if key not in ("device", "dtype") and not is_default:
            arguments.append(f"{parameter}={values[key]!r}")
    given = {*positional, *by_name.values()}
    arguments += [f"{key}={value!r}" for key, value in changed.items() if key not in given]
    for key, value in (convention.constants or {}).items():
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise NoScript(f"the constant {key} of its Convention has no text")
        arguments.append(f"{key}={value!r}")
    name = context.target.name.rpartition(":")[2]
    name = "Stack" if context.is_of_torch else name
    return f"{name}({', '.join(arguments)}){_as(context)}"


def _defaults(factory: Callable[..., Any]) -> dict[str, object]:
    """Return a constructor's default values by the parameters' names."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {one.name: one.default for one in parameters}


def reference_text(context: ScriptContext, **changed: object) -> str:
    """Return the text that builds nn.GRU for the case."""
    case = context.case
    has_bias = case.bias and context.unused_pair.reference.bias
    options = {"dropout": case.dropout} if case.num_layers > 1 and case.dropout else {}
    options |= {} if has_bias else {"bias": False}
    options |= {"bidirectional": True} if case.bidirectional else {}
    shown = "".join(f", {key}={value!r}" for key, value in {**options, **changed}.items())
    sizes = f"{case.input_size}, {case.hidden_size}, {case.num_layers}"
    return f"nn.GRU({sizes}{shown}){_as(context)}"


def _as(context: ScriptContext) -> str:
    case = context.case
    if context.is_exact:
        return f".to(torch.{case.dtype}).train({case.mode == 'train'})"
    dtype = {"float32": "", "float64": ".double()", "float16": ".half()", "bfloat16": ".bfloat16()"}
    return dtype[case.dtype] + (".eval()" if case.mode == "eval" else "")


def weight_lines(context: ScriptContext, *, with_reference: bool) -> list[str]:
    """Return the lines that give the modules the case's weights."""
    case, pair = context.case, context.unused_pair
    sizes = case.input_size, case.hidden_size, case.num_layers, case.bias and pair.reference.bias
    texts = {}
    for layer, shapes in enumerate(parameter_shapes(*sizes, case.directions)):
        for name, shape in shapes.items():
            there = name in pair.layers[layer]
            text = tensor_text(context, f"{name} {layer}", shape) if there else "torch.zeros()"
            texts[gru_name(name, layer, case.directions)] = text
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
    value = "weights[name]"
    if len(shown) < len(texts):
        first, *others = shown.items()
        lines = [
            f'weights = {{"{first[0]}": {first[1]}}}  # all others are zeros',
            *(f'weights["{key}"] = {text}' for key, text in others),
        ]
        value = "weights.get(name, torch.tensor(0.0))"
    if names is None:
        return [
            *lines,
            "with torch.no_grad():",
            "    for (name, right), own in zip(reference.named_parameters(), target.parameters()):",
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
    first = zeros if incomplete and right else []  # nn.GRU has biases that the target lacks
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
    """Return the target's names of nn.GRU's parameters; None if both have the same order."""
    module = getattr(pair.module, "module", pair.module)
    wanted = {
        gru_name(name, index, pair.case.directions): value
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
    # named_parameters itself tells of what is shared from torch 2.0 on only.
    every = [
        (f"{prefix}.{name}" if prefix else name, parameter)
        for prefix, child in module.named_modules(remove_duplicate=False)
        for name, parameter in child.named_parameters(recurse=False)
    ]
    names: dict[str, str] = {}
    for key, value in wanted.items():
        found = [name for name, parameter in every if parameter is value]
        if not found:
            raise NoScript("the weights of its layers are not parameters of its own")
        names[key] = next((name for name in found if name not in names.values()), found[0])
    return names


def tensor_text(
    context: ScriptContext, name: str, shape: Sequence[int], *, dtype: bool = False
) -> str:
    """Return the text of a tensor: its numbers, or a call that draws them."""
    case = context.case
    values = draw_tensor(case, name, shape)
    kind = f", dtype=torch.{case.dtype}" if dtype and case.dtype != "float32" else ""
    if values.numel() == 0 or not bool(values.any()):
        return f"torch.zeros({', '.join(map(str, shape))}{kind})"
    is_drawn = not context.is_literal and name not in dict(case.numbers)
    if is_drawn and bool(values.isfinite().all()):
        return _drawn(case, name, shape, dtype=dtype)
    exact = bool((values.double() == values.float().double()).all())
    kind = kind or ("" if exact else ", dtype=torch.float64")
    numbers = re.sub(r"\b(nan|inf)\b", r'float("\1")', repr(values.double().tolist()))
    return f"torch.tensor({numbers}{kind})"


def _drawn(case: Case, name: str, shape: Sequence[int], *, dtype: bool) -> str:
    """Return the text that draws a tensor as the case does."""
    magnitude, scale = magnitude_of(case, name, shape)
    factor = scale_of(case.torch_dtype, magnitude, scale)
    whole = ", whole=True" if magnitude == "subnormal" else ""
    sizes = ", ".join(map(str, shape))
    scaled = f", scale={factor!r}" if factor != 1 else ""
    cast = f".to(torch.{case.dtype})" if dtype and case.dtype != "float64" else ""
    return f"drawn({seed_of(case, name)}, {sizes}{scaled}{whole}){cast}"
