"""What can be set for a run, in one table: OPTIONS.

The command line, pytest's ``--stackgru KEY=VALUE`` and ini keys, the keywords of check() and
suite_for(), and what check() passes on to pytest are all made from it.
"""

from __future__ import annotations

import difflib
import json
import operator
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Examples per law. "ci" draws the same examples every time and keeps no database.
PROFILES = {"quick": 20, "default": 100, "thorough": 2000, "ci": 200}
DEFAULT_TARGET = "stackgru:StackingGRUCell"
DEFAULT_TIMEOUT = 300.0
DEFAULT_SHRINK_SECONDS = 20.0
#: GiB of data that a process in which laws run may hold.
DEFAULT_MEMORY = 4.0

KINDS = ("cell", "sequence")
DTYPES = ("float64", "float32", "bfloat16", "float16")
FULL_PRECISION = DTYPES[:2]
#: The constructor's arguments that a case sets, in the order in which they are given by position.
ARGUMENTS = ("input_size", "hidden_size", "num_layers", "dropout")
#: Layouts of the state; stackgru.targets.convention describes each.
STATES = ("stacked", "batch-first", "tuple", "list", "concatenated", "none")
#: What a call returns.
RETURNS = ("output, state", "state", "state, output", "output")


#: Some times what optimised runtimes are off by in float32; tables of 8 bits are off by far more.
MOST_ACTIVATION_ERROR = 1e-6


@dataclass(frozen=True)
class Options:
    """What a run is to do. Each field is a keyword of ``check`` and ``suite_for``.

    Attributes:
        kind: "cell" or "sequence"; found by calling the target if None.
        laws: patterns of law or family names to run; empty for all.
        skip: patterns of law or family names to leave out.
        max_examples: examples per law; None for the profile's number.
        seed: random seed of the search; chosen by Hypothesis if None.
        profile: "quick", "default", "thorough" or "ci"; None for Hypothesis' own settings.
        dtypes: names of dtypes to draw from; empty for all that the build supports.
        device: the device that everything is built on.
        strict: also fail on differences that are normally only reported.
        timeout: time limit per law, in seconds.
        seconds: time limit of the whole run, 0 for none; what is not done by then is "not run".
        memory: limit on the data of each process in which laws run, in GiB; 0 for none.
        shrink: look for the smallest case that violates a law, not just any.
        shrink_seconds: time limit for simplifying a violation's numbers, in seconds.
        report: folder for bug reports, each with a script that shows the violation; none if None
            or empty.
        known: violations to ignore, as pairs of law and reason. ``check`` and ``suite_for`` also
            take a mapping, or the path of a file with one ``law: reason`` per line.
        known_strict: whether a known violation that is gone counts.
        arguments: constructor arguments in order, names in ARGUMENTS; found if None. This and
            what follows describe a target that is no Convention itself; see Convention.
        constants: further constructor arguments, as pairs of name and value. ``check`` and
            ``suite_for`` also take a mapping.
        state: layout of the state, one of STATES; the first if None.
        returns: what a call returns, one of RETURNS; the first if None.
        time_axis: whether a cell takes its input with a time axis of one step.
        batch_first: whether a sequence takes and returns (B, T, _).
        activation_error: by how much its sigmoid and tanh may be off in float32, absolutely.
        flush_to_zero: whether it may take subnormal numbers for zero.
    """

    kind: str | None = None
    laws: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    max_examples: int | None = None
    seed: int | None = None
    profile: str | None = None
    dtypes: tuple[str, ...] = ()
    device: str = "cpu"
    strict: bool = False
    timeout: float = DEFAULT_TIMEOUT
    memory: float = DEFAULT_MEMORY
    seconds: float = 0.0
    shrink: bool = True
    shrink_seconds: float = DEFAULT_SHRINK_SECONDS
    report: str | None = None
    known: tuple[tuple[str, str], ...] = ()
    known_strict: bool = False
    arguments: tuple[str, ...] | None = None
    constants: tuple[tuple[str, Any], ...] = field(default=(), hash=False)
    state: str | None = None
    returns: str | None = None
    time_axis: bool = False
    batch_first: bool = False
    activation_error: float = 0.0
    flush_to_zero: bool = False

    @property
    def convention(self) -> dict[str, Any]:
        """The fields of a Convention that are set here."""
        how = ("arguments", "constants", "state", "returns", "time_axis", "batch_first")
        fields = (*how, "activation_error", "flush_to_zero")
        given = {name: getattr(self, name) for name in fields if getattr(self, name)}
        return {**given, "constants": dict(self.constants)} if self.constants else given


class StackgruError(Exception):
    """What stackgru raises derives from this."""


class UsageError(StackgruError):
    """An option is wrong; the message is one sentence."""


def did_you_mean(name: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint at the choice nearest to a name, with a semicolon before it; "" if none is."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_of(what: str, value: str, choices: Iterable[str]) -> str:
    """Return the value if it is among the choices, or raise a UsageError that names the nearest."""
    choices = tuple(choices)
    if value in choices:
        return value
    listed = ", ".join(map(repr, choices))
    hint = did_you_mean(str(value), choices) or "."
    raise UsageError(f"{what} must be one of {listed}, got {value!r}{hint}")


def names(text: str) -> list[str]:
    """Return the names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_EXPECTED: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "names",
    dict: "a file, or laws with a reason each",
    list: "NAME=JSON",
}


@dataclass(frozen=True)
class Option:
    """One row of the table.

    Attributes:
        field: its keyword in Python; a field of Options unless only pytest needs it.
        group: its heading in ``stackgru check --help``; empty if it is not an option there.
        help: what it sets, in one sentence.
        metavar: what stands for its value in help; empty for a flag.
        type: of its value; tuple for names, dict for laws with their reasons, list for names
            with a value each, in JSON as text.
        choices: the values it may have, or each of its names; empty for any.
        minimum: the least value it may have.
        key: its name on the command line, if it is not the field's.
    """

    field: str
    group: str
    help: str
    metavar: str = ""
    type: type = str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    key: str = ""

    @property
    def name(self) -> str:
        """Its name on the command line, without dashes in front."""
        return self.key or self.field.replace("_", "-")

    def read(self, value: Any, label: str = "") -> Any:
        """Return a value as Options holds it, from text or from Python; known may stay a path.

        Args:
            value: what the user gave.
            label: what messages call the option; its field if empty.

        Raises:
            UsageError: if the value is not one that it may have.
        """
        label = label or self.field
        try:
            found = self._converted(value)
        except (KeyError, TypeError, ValueError):
            expected = _EXPECTED[self.type]
            raise UsageError(f"{label} must be {expected}, got {value!r}.") from None
        if self.choices:
            for one in found if self.type is tuple else (found,):
                one_of(label, one, self.choices)
        if self.minimum is not None and not found >= self.minimum:
            raise UsageError(f"{label} must be at least {self.minimum:g}, got {value}.")
        return found

    def _converted(self, value: Any) -> Any:
        if self.type is tuple:
            parts = (value,) if isinstance(value, str) else value
            return tuple(name for part in parts for name in names(part))
        if self.type is bool:
            return _TRUTH[str(value).lower()]
        if self.type is int:
            return int(value) if isinstance(value, str) else operator.index(value)
        if self.type is list:
            return _constants(value)
        if self.type is dict:
            if isinstance(value, str) and value.startswith("{"):
                value = json.loads(value)
            if isinstance(value, Mapping):
                value = value.items()
            elif hasattr(value, "__fspath__"):
                return str(value)
            return value if isinstance(value, str) else tuple((law, why) for law, why in value)
        return self.type(value)

    def text(self, value: Any) -> str:
        """Return a value as text that read takes."""
        if self.type is tuple:
            return ",".join(value)
        if self.type is dict:
            return json.dumps(dict(value))
        if self.type is list:
            return ",".join(f"{name}={json.dumps(one)}" for name, one in value)
        if self.type is float:
            return f"{value:g}"
        return str(value)


def _constants(value: Any) -> tuple[tuple[str, Any], ...]:
    """Return names with a value each, from a mapping, from pairs, or from NAME=JSON texts."""
    if isinstance(value, Mapping):
        return tuple(value.items())
    found: list[tuple[str, Any]] = []
    for one in (value,) if isinstance(value, str) else value:
        if not isinstance(one, str):
            name, read = one
        else:
            name, equals, text = one.partition("=")
            if not equals or not name.isidentifier():
                raise UsageError(f"a constant must be NAME=JSON, got {one!r}.")
            try:
                read = json.loads(text)
            except ValueError:
                nearest = {"True": "true", "False": "false", "None": "null"}.get(text)
                meant = f"{name}={nearest or json.dumps(text)}"
                raise UsageError(
                    f"constant {name}: {text!r} is not JSON; did you mean {shlex.quote(meant)}?"
                ) from None
        found.append((name, read))
    return tuple(found)


_WHAT, _HOW, _MUCH = "What to check", "How TARGET is built and called", "How much to try"
_OUTPUT = "Output"

OPTIONS = (
    Option("target", "", "What to check: module:attr or path/file.py:attr.", "TARGET"),
    Option("laws", _WHAT, "Run only these laws or families (repeatable).", "GLOB", tuple),
    Option("skip", _WHAT, "Leave out these laws or families (repeatable).", "GLOB", tuple),
    Option("strict", _WHAT, "Also fail on differences that are normally only reported.", type=bool),
    Option("known", _WHAT, "Violations to ignore, one 'law: reason' per line.", "FILE", dict),
    Option("known_strict", _WHAT, "Also fail if a known violation is gone.", type=bool),
    Option(
        "kind", _HOW, "cell or sequence; found by calling TARGET if omitted.", "KIND", choices=KINDS
    ),
    Option(
        "arguments",
        _HOW,
        f"Constructor arguments in order, comma-separated; of {', '.join(ARGUMENTS)}.",
        "NAMES",
        tuple,
        ARGUMENTS,
    ),
    Option(
        "constants",
        _HOW,
        "Further constructor argument, such as mode='\"fast\"' (repeatable).",
        "NAME=JSON",
        list,
        key="constant",
    ),
    Option("state", _HOW, f"Layout of the state: {', '.join(STATES)}.", "LAYOUT", choices=STATES),
    Option(
        "returns",
        _HOW,
        "What a call returns: 'output, state', state, 'state, output' or output.",
        "PARTS",
    ),
    Option("time_axis", _HOW, "A cell takes (1, B, I) and returns (1, B, H).", type=bool),
    Option("batch_first", _HOW, "A sequence takes (B, T, I) and returns (B, T, H).", type=bool),
    Option(
        "activation_error",
        _HOW,
        "By how much its sigmoid and tanh may be off in float32, absolutely.",
        "NUMBER",
        float,
        minimum=0,
    ),
    Option("flush_to_zero", _HOW, "It may take subnormal numbers for zero.", type=bool),
    Option("device", _HOW, "Device to build everything on.", "DEV"),
    Option("max_examples", _MUCH, "Number of examples per law.", "N", int, minimum=1),
    Option(
        "profile",
        _MUCH,
        f"The same by name: {', '.join(f'{name} {n}' for name, n in PROFILES.items())}.",
        "NAME",
        choices=tuple(PROFILES),
    ),
    Option("seed", _MUCH, "Random seed; chosen at random if omitted.", "N", int, minimum=0),
    Option("dtypes", _MUCH, "Draw only this dtype (repeatable).", "D", tuple, DTYPES, key="dtype"),
    Option("timeout", _MUCH, "Time limit per law.", "SECONDS", float, minimum=0),
    Option("seconds", _MUCH, "Time limit of the whole run.", "SECONDS", float, minimum=0),
    Option("memory", _MUCH, "Memory limit of each worker process.", "GIB", float, minimum=0),
    Option("shrink", "", "Look for the smallest case that violates a law.", type=bool),
    Option("report", _OUTPUT, "Save a bug report of every violation in this folder.", "DIR"),
    Option(
        "shrink_seconds",
        _OUTPUT,
        "Time limit for simplifying a violation's numbers.",
        "SECONDS",
        float,
        minimum=0,
    ),
    Option("json", _OUTPUT, "Write the report to this file as JSON.", "FILE"),
)


def option_named(name: str) -> Option:
    """Return the option of a name or field, or raise a UsageError that names the nearest."""
    for option in OPTIONS:
        if name.replace("-", "_") in (option.field, option.name.replace("-", "_")):
            return option
    hint = did_you_mean(name, [option.name for option in OPTIONS]) or "."
    raise UsageError(f"there is no option {name!r}{hint}")


def read_fields(fields: Mapping[str, Any], options: Options | None = None) -> dict[str, Any]:
    """Return the fields of Options that are set, each as read; fields win, and None sets nothing.

    Raises:
        UsageError: if there is no such field, or its value is wrong.
    """
    every = Options.__dataclass_fields__
    for name in fields:
        if name not in every:
            raise UsageError(f"there is no option {name!r}{did_you_mean(name, every) or '.'}")
    changed = {name: getattr(options, name, None) for name in every}
    merged = {name: value for name, value in changed.items() if value != getattr(Options, name)}
    merged |= fields
    return {
        name: option_named(name).read(value) for name, value in merged.items() if value is not None
    }


def as_pairs(options: Options) -> list[str]:
    """Return what differs from the default as KEY=VALUE, which read_pairs takes."""
    values = ((option, getattr(options, option.field, None)) for option in OPTIONS)
    set_ones = [
        (option, value)
        for option, value in values
        if value is not None and value != getattr(Options, option.field)
    ]
    # Names with values are given one by one, as their texts may contain commas.
    each = [
        (option, (one,)) if option.type is list else (option, value)
        for option, value in set_ones
        for one in (value if option.type is list else (None,))
    ]
    return [f"{option.name}={option.text(value)}" for option, value in each]


def read_pairs(pairs: Iterable[str], label: str) -> dict[str, Any]:
    """Return the values of texts KEY=VALUE by field; names of several are put together.

    Raises:
        UsageError: if there is no such key, or its value is wrong.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        option = option_named(key)
        if not equals and option.type is not bool:
            raise UsageError(f"{label} {key} needs a value, {key}={option.metavar}.")
        value = option.read(text if equals else True, f"{label} {key}")
        if option.type in (tuple, list):
            value = found.get(option.field, ()) + value
        found[option.field] = value
    return found
