"""The options of a run, as the command line, the plugin and the Python call share them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Examples a law. "ci" draws the same examples every time and keeps no database.
PROFILES = {"quick": 20, "default": 100, "thorough": 2000, "ci": 200}
DEFAULT_TIMEOUT = 300.0
DEFAULT_SHRINK_SECONDS = 20.0
#: Where violations are saved in somebody's own pytest.
DEFAULT_REPORTS = ".stackgru"

#: The constructor's arguments that a case sets, in the order in which they are given by position.
ARGUMENTS = ("input_size", "hidden_size", "num_layers", "dropout")
#: How a state goes in and comes out; stackgru.targets.convention says what each is.
STATES = ("stacked", "batch-first", "tuple", "list", "concatenated")
#: What a call returns.
RETURNS = ("output, state", "state", "state, output")


@dataclass(frozen=True)
class Options:
    """What a run is to do.

    Attributes:
        kind: "cell" or "sequence"; None to find it by calling the target.
        laws: patterns of law names to run; empty for all.
        skip: patterns of law names to leave out.
        max_examples: examples a law; None for the profile's.
        seed: what the search starts from; None for Hypothesis' own choice.
        profile: a name in PROFILES; None for Hypothesis' own settings.
        dtypes: names of dtypes to draw from; empty for all that the build supports.
        device: where everything is built.
        strict: count as violations what otherwise is an answer only.
        timeout: seconds a law may take.
        shrink: look for the smallest case that breaks a law, not only for one.
        shrink_seconds: longest time of the second stage, in which the case's numbers become plain.
        report: the folder where violations are saved, each with its script; None for nowhere.
        known: names of laws that are known to be violated, each with the reason.
        arguments: the constructor's arguments by position, names in ARGUMENTS; None to find them.
        state: one of STATES; None for the first.
        returns: one of RETURNS; None for the first.
        time_axis: whether a cell takes its input with a time axis.
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
    shrink: bool = True
    shrink_seconds: float = DEFAULT_SHRINK_SECONDS
    report: str | None = None
    known: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] | None = None
    state: str | None = None
    returns: str | None = None
    time_axis: bool = False

    @property
    def convention(self) -> dict[str, Any]:
        """The fields of a Convention that are told here."""
        fields = ("arguments", "state", "returns", "time_axis")
        return {name: getattr(self, name) for name in fields if getattr(self, name)}


class UsageError(Exception):
    """An option does not fit; the message is one sentence."""


def one_of(what: str, value: str, choices: Iterable[str]) -> str:
    """Return a name that is among the choices.

    Raises:
        UsageError: if it is not; the message names the nearest.
    """
    choices = tuple(choices)
    if value in choices:
        return value
    hint = did_you_mean(str(value), choices) or "."
    listed = ", ".join(map(repr, choices))
    raise UsageError(f"{what} must be one of {listed}, got {value!r}{hint}")


def did_you_mean(name: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint at the choice nearest to a name, with a semicolon before it; "" if none is."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def names(text: str) -> list[str]:
    """Return names that are written with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]
