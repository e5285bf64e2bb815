"""From a violation to a bug report that runs by itself: shrunk, written, run, and saved."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from stackgru.cases.case import Case
from stackgru.engine.time_limit import TimedOut, time_limit
from stackgru.gru.cell import StackingGRUCell
from stackgru.harness.pair import Pair
from stackgru.harness.reference import expected
from stackgru.laws.registry import Law
from stackgru.options import DEFAULT_SHRINK_SECONDS, Options
from stackgru.outcomes import NotApplicable, Violated, Violation
from stackgru.repro.issue import issue_text
from stackgru.repro.replay import run_script
from stackgru.repro.scripts import NoScript, Script, script_for, scripts_of_death, shows_violation
from stackgru.repro.scripts.context import is_torchs_own
from stackgru.repro.scripts.plain import reference_run
from stackgru.repro.scripts.text import TORCH_CELL
from stackgru.repro.simplify import Simplified, simplify
from stackgru.repro.store import SCRIPT, BugReport, write
from stackgru.targets.importing import describe_error
from stackgru.targets.target import Target
from stackgru.torch_settings import settings_kept

_FLAKY = "the case does not show the violation again"
_ON_CPU = "the case does not show the violation on the CPU, where scripts run"


@dataclass(frozen=True)
class Bug:
    """A violation with its script.

    Attributes:
        report: what is saved of the violation.
        script: the text of the script.
        printed: what the script printed.
        issue: the text of the issue.
    """

    report: BugReport
    script: str
    printed: str
    issue: str


def bug_for(
    target: Target,
    law: Law,
    violation: Violation,
    *,
    strict: bool = False,
    seconds: float = DEFAULT_SHRINK_SECONDS,
) -> Bug:
    """Shrink a violation's numbers, write its script and run that in a clean process.

    A script that does not show the violation is labelled.

    Raises:
        NoScript: if there can be no script for this target.
    """
    case = Case.parse(violation.case)
    flaky = _FLAKY if target.device == "cpu" else _ON_CPU
    target = replace(target, device="cpu")
    with settings_kept(), torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        if violation.ended_the_process:
            small, (script, printed) = None, _of_death(target, law, violation, strict=strict)
        else:
            small, script = plainest(
                target, law, case, violation.message, strict=strict, seconds=seconds
            )
            script, printed = _run(script)
            if small is None and script.problem is not None:
                script = Script(script.text, flaky)
    best = case if small is None else small.case
    numbers = dict(best.numbers)
    if small is not None and best is not case:
        violation = replace(small.violation, case=violation.case)
    report = BugReport(
        target=target.name,
        kind=target.kind,
        statement=law.statement,
        violation=replace(violation, problem=script.problem),
        convention=target.cli_options,
        numbers=numbers,
        digits=() if small is None else (small.before, small.after),
        seconds=0.0 if small is None else small.seconds,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "stackgru": importlib.metadata.version("stackgru"),
        },
    )
    about_torch = is_torchs_own(target)
    # To PyTorch the bundled cell is a stack of theirs.
    told = replace(target, name=TORCH_CELL) if target.factory is StackingGRUCell else target
    float64 = None
    if not violation.ended_the_process:
        float64 = which_is_wrong(told, best, strict=strict)
    named_so = replace(report, target=told.name)
    issue = issue_text(named_so, script.text, printed, float64, about_torch=about_torch)
    return Bug(report, script.text, printed, issue)


def save_violation(
    target: Target, law: Law, violation: Violation, options: Options, folder: Path
) -> Violation:
    """Save a violation with its script in a folder of bug reports.

    Whatever fails, the violation is returned, with the script's path, or why there is none.
    """
    script = None
    try:
        with time_limit(options.timeout):
            strict, seconds = options.strict, options.shrink_seconds
            bug = bug_for(target, law, violation, strict=strict, seconds=seconds)
        problem = bug.report.violation.problem
        script = str(write(folder, bug.report, bug.script, bug.issue) / SCRIPT)
    except NoScript as error:
        problem = f"there is no script: {error}"
    except OSError as error:
        problem = f"it could not be saved in {folder}: {error.strerror or error}"
    except (Exception, TimedOut) as error:  # a target may do anything
        problem = f"it could not be made: {describe_error(error)}"
    return replace(violation, script=script, problem=problem)


def plainest(
    target: Target,
    law: Law,
    case: Case,
    message: str,
    *,
    strict: bool = False,
    seconds: float = DEFAULT_SHRINK_SECONDS,
) -> tuple[Simplified | None, Script]:
    """Return what came of stage two, and the script with the plainest numbers that shows it.

    Raises:
        NoScript: if there can be no script for this target.
    """
    small = simplify(target, law, case, strict=strict, seconds=seconds)
    if small is None:
        return None, script_for(target, law, case, message, strict=strict)
    script = script_for(target, law, small.case, small.violation.message, strict=strict)
    if script.problem is None or small.case is case:
        return small, script
    # A script may not show what the law sees in its own way, e.g. under nn.GRU's masks.
    whole = script_for(target, law, case, message, strict=strict)
    left = max(0.0, seconds - small.seconds)
    if whole.problem is None and left:

        def accepts(one: Case, violation: Violation) -> bool:
            return shows_violation(target, law, one, violation.message, strict=strict)

        again = simplify(target, law, case, strict=strict, seconds=left, accepts=accepts) or small
        small = replace(again, seconds=small.seconds + again.seconds)
        script = script_for(target, law, small.case, small.violation.message, strict=strict)
        if script.problem is None:
            return small, script
    return replace(small, case=case, after=small.before), whole


def _of_death(
    target: Target, law: Law, violation: Violation, *, strict: bool
) -> tuple[Script, str]:
    """Return the first script that ends as the target does, and what it printed; else the first."""
    first = None
    for script in scripts_of_death(target, law, violation, strict=strict):
        found = _run(script, may_end=True)
        if found[0].problem is None:
            return found
        first = first or found
    assert first is not None  # noqa: S101 - a call can always be written down
    return first


def _run(script: Script, *, may_end: bool = False) -> tuple[Script, str]:
    """Run a script in a clean process, and label it if it does not show the violation there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SCRIPT
        path.write_text(script.text, encoding="utf-8")
        outcome = run_script(path, may_end=may_end)
    if outcome.status == 1:
        return script, outcome.printed
    problem = "in a clean process the two agree"
    if outcome.status is None:
        problem = f"in a clean process it ended with {outcome.error}"
    printed = outcome.printed + outcome.error
    return Script(script.text, script.problem or problem), printed


def which_is_wrong(target: Target, case: Case, *, strict: bool) -> str | None:
    """Return a sentence on how far both sides are from the equation in float64.

    None if the equation does not show which side is wrong.
    """
    with settings_kept(), torch.random.fork_rng(devices=[]):
        try:
            pair = Pair(target, case, strict=strict)
            by_steps = pair.kind == "cell" and case.drops and case.seq_len > 1
            reference, masks = reference_run(pair, by_steps=by_steps)
            pair.seed()
            run = pair.run()
            bound = expected(pair, masks)
        except (Violated, NotApplicable):
            return None
    for name, value in (("output", bound.outputs), ("hn", bound.hn)):
        attribute = "outputs" if name == "output" else name
        own = (getattr(run, attribute).double() - value.value).abs()
        right = (getattr(reference, attribute).double() - value.value).abs()
        if bool((own > value.error).any()):
            at = int((own - value.error).flatten().argmax())
            return (
                f"The equation of the GRU, evaluated in float64 on the same numbers, gives "
                f"{float(value.value.flatten()[at]):.9g} for {name} there. `torch.nn.GRU` is "
                f"{float(right.flatten()[at]):.3g} away from it, `{target.name}` "
                f"{float(own.flatten()[at]):.3g}; rounding explains "
                f"{float(value.error.flatten()[at]):.3g}."
            )
    return None
