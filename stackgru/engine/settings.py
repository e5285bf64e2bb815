"""How Hypothesis searches, and what it is told of the cases that were drawn."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
from hypothesis import Phase, settings

from stackgru.cases.case import Case
from stackgru.options import PROFILES, Options

#: Actions in a life, at most.
ACTIONS_IN_A_LIFE = 12
#: Sizes by which cases are counted in Hypothesis' statistics.
_SIZES = (8, 64, 1024, math.inf)


def settings_for(options: Options, share: float) -> settings:
    """Return Hypothesis' settings; no deadline, as one case may take a hundred times another's."""
    changed: dict[str, Any] = {}
    if options.profile is not None:
        # Set both ways: on CI Hypothesis loads a profile of its own.
        changed["max_examples"] = PROFILES[options.profile]
        changed["derandomize"] = options.profile == "ci"
    if options.profile == "ci" or not options.shrink:
        # What was not shrunk would be taken for shrunk by the next run.
        changed["database"] = None
    if options.max_examples is not None:
        changed["max_examples"] = options.max_examples
    wanted = settings(settings.default, **changed)
    phases = (Phase.reuse, Phase.generate, Phase.target, Phase.shrink)
    return settings(
        wanted,
        max_examples=math.ceil(share * wanted.max_examples),
        deadline=None,
        stateful_step_count=ACTIONS_IN_A_LIFE,
        report_multiple_bugs=False,
        print_blob=False,
        phases=phases if options.shrink else phases[:-1],
    )


def told_already(statistics: object) -> None:
    """Tell nothing of a second search."""


def tell_hypothesis(case: Case) -> None:
    """Say in Hypothesis' statistics and output what was drawn."""
    largest = max(case.input_size, case.hidden_size)
    hypothesis.event(f"mode: {case.mode}")
    hypothesis.event(f"form: {case.form}{', batch first' * case.batch_first}")
    hypothesis.event(f"h0: {case.h0}")
    hypothesis.event(f"gradients: {case.grad}")
    hypothesis.event(f"autocast: {case.autocast or 'off'}")
    hypothesis.event(f"units: {next(size for size in _SIZES if largest <= size)} or fewer")
    hypothesis.note(f"case: {case}")
