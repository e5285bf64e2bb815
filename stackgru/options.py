"""The options of a run, as the command line, the plugin and the Python call share them."""

from __future__ import annotations

from dataclasses import dataclass

#: Examples a law. "ci" draws the same examples every time and keeps no database.
PROFILES = {"quick": 20, "default": 100, "thorough": 2000, "ci": 200}
DEFAULT_TIMEOUT = 300.0


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


class UsageError(Exception):
    """An option does not fit; the message is one sentence."""
