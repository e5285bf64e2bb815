"""Scripts: a violation as one Python file that runs by itself and needs only torch and the target.

A script prints what it observed, what it expected and the difference that rounding allows. It ends
with status 1 as long as they differ, 0 once they agree. Of several candidates the first is taken
that differs for the target and agrees for a correct implementation in its place.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import linecache
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from stackgru.cases.case import Case
from stackgru.gru.cell import StackingGRUCell
from stackgru.laws.registry import Law
from stackgru.outcomes import Violated, Violation
from stackgru.repro.replay import AGREE, DIFFER
from stackgru.repro.scripts import death, plain
from stackgru.repro.scripts.candidates import candidates
from stackgru.repro.scripts.context import Candidate, ScriptContext, is_torchs_own
from stackgru.repro.scripts.setup import NoScript
from stackgru.repro.scripts.text import script_text
from stackgru.targets.convention import Convention
from stackgru.targets.importing import describe_error
from stackgru.targets.target import Target, load
from stackgru.torch_settings import settings_kept

__all__ = ["NoScript", "Script", "script_for", "scripts_of_death", "shows_violation"]

# By chance alone, a mask of one unit from another generator is wrong 6 times in a row too often.
_TIMES, _SECONDS = 20, 1.0
_FIRST = 3  # the best candidates come first, and stage two runs them for every choice of numbers


@dataclass(frozen=True)
class Script:
    """A script, and whether it shows the violation.

    Attributes:
        text: the Python file.
        problem: in a few words, why it does not show the violation; None if it does.
    """

    text: str
    problem: str | None = None


def script_for(
    target: Target, law: Law, case: Case, message: str, *, strict: bool = False
) -> Script:
    """Write the script of a violation.

    Args:
        target: the target that violates the law.
        law: the law.
        case: the case that shows the violation.
        message: what the law got and expected.
        strict: as for the law.

    Raises:
        NoScript: if there can be none for this target.
    """
    context = ScriptContext(target, law, case, message, strict)
    other = _right(target, case)
    right = None if other is None else replace(context, target=other, is_control=True)
    last = None
    for candidate, is_exact in ((one, how) for how in (False, True) for one in _possible(context)):
        text = script_text(replace(context, is_exact=is_exact), candidate)
        if _shows(text):
            control = right and replace(right, is_exact=is_exact)
            if control is None or run_in_process(script_text(control, candidate)) == 0:
                return Script(text)
            problem = "a right implementation in its place differs as well"
        else:
            problem = "it does not show the violation"
        last = last or Script(text, problem)
    if last is None:
        raise NoScript(f"the law {law.name} has no script for this case")
    return last


def scripts_of_death(
    target: Target, law: Law, violation: Violation, *, strict: bool = False
) -> Iterator[Script]:
    """Yield scripts of a violation that ended the process, none of which has run.

    Raises:
        NoScript: if there can be none for this target.
    """
    case = Case.parse(violation.case)
    context = ScriptContext(target, law, case, violation.message, strict)
    other = _right(target, case)
    right = None if other is None else replace(context, target=other, is_control=True)
    controls = itertools.repeat(None) if right is None else death.texts(right)
    for text, control in zip(death.texts(context), controls, strict=False):
        agrees = control is None or run_in_process(control) == 0
        problem = None if agrees else "a right implementation in its place differs as well"
        yield Script(text, problem)


def shows_violation(
    target: Target, law: Law, case: Case, message: str, *, strict: bool = False
) -> bool:
    """Whether one of the best candidates shows the violation; see script_for."""
    context = ScriptContext(target, law, case, message, strict)
    with torch.random.fork_rng(devices=[]), settings_kept():
        first = list(itertools.islice(candidates(context), _FIRST))
    return any(run_in_process(script_text(context, candidate)) == 1 for candidate in first)


def _shows(text: str) -> bool:
    """Whether a script shows its violation several times in a row, as far as time allows."""
    until = time.monotonic() + _SECONDS
    for _ in range(_TIMES):
        if run_in_process(text) != 1:
            return False
        if time.monotonic() > until:
            break
    return True


def _possible(context: ScriptContext) -> Iterator[Candidate]:
    """Yield all candidates, first as they are, then without gradients, and in inference mode."""
    try:
        context.unused_pair  # noqa: B018 - which can be made, or not
    except Violated:
        yield plain.shapes(context)
        return
    with torch.random.fork_rng(devices=[]), settings_kept(), context.unused_pair.settings():
        found = [_with_settings(context.case, candidate) for candidate in candidates(context)]
    yield from found
    modes: list[tuple[str, ...]] = [("torch.set_grad_enabled(False)",)]
    if context.case.grad == "inference":
        modes.append(("inference = torch.inference_mode()", "inference.__enter__()"))
    for mode in modes:
        for candidate in found:
            yield replace(candidate, lines=(*mode, *candidate.lines))


def _with_settings(case: Case, candidate: Candidate) -> Candidate:
    """Return a candidate that begins with the settings of its case, unless it has its own."""
    settings = {
        f"torch.set_num_threads({case.threads})": case.threads > 1,
        "torch.use_deterministic_algorithms(True)": case.deterministic,
    }
    lines = [
        line
        for line, is_set in settings.items()
        if is_set and line.partition("(")[0] not in candidate.text
    ]
    return replace(candidate, lines=(*lines, *candidate.lines))


def _right(target: Target, case: Case) -> Target | None:
    """Return a correct implementation that is built and called as the target is, or None."""
    if is_torchs_own(target):
        return None  # nothing else is known to be correct
    if target.convention.needs_adapter or target.convention.constants:
        return None
    if target.kind == "cell":
        return replace(load(StackingGRUCell), name="stackgru:StackingGRUCell")
    constants = None if case.bias else {"bias": False}
    return replace(load(Convention(torch.nn.GRU, constants=constants)), name="torch.nn:GRU")


def run_in_process(text: str) -> int | None:
    """Run a script in this process.

    Returns:
        Its exit status; None if it raises, or prints no conclusion.
    """
    name = f"<script {zlib.crc32(text.encode())}>"
    code = compile(text, name, "exec")
    # torch.jit.script reads the source.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    printed = io.StringIO()
    path = list(sys.path)
    status: int | None = None
    with (
        settings_kept(),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
    ):
        warnings.simplefilter("ignore")
        try:
            exec(code, {"__name__": "__main__"})  # noqa: S102 - what was written the line before
        except SystemExit as end:
            status = int(end.code or 0) if isinstance(end.code, int | None) else None
        except Exception as error:
            printed.write(describe_error(error))
        finally:
            sys.path[:] = path
            del linecache.cache[name]
    lines = printed.getvalue().splitlines()
    if status is None or lines[-1:] != [DIFFER if status else AGREE]:
        return None
    return status
