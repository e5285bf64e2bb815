"""Scripts of calls that end the process: they show it by ending with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stackgru.engine.isolate import call_apart
from stackgru.outcomes import NO_EXCEPTION
from stackgru.repro.scripts import plain
from stackgru.repro.scripts.candidates import own_candidates
from stackgru.repro.scripts.context import Candidate, ScriptContext
from stackgru.repro.scripts.text import script_text

_OF_LAW = 3
_BACKWARD = "(output.sum() + hn.sum()).backward()"


def texts(context: ScriptContext) -> Iterator[str]:
    """Yield scripts that may end as the target does: of a call, its gradients, and the law's own.

    None of them has run; the law's own are written in a process of their own, which may end too.
    """
    returned = ("expected = observed = 'it returned'",)
    call = context.seeded(f"output, hn = {context.run()}")
    if NO_EXCEPTION in context.message:
        yield from (script_text(context, candidate) for candidate in plain.calls(context))
    for lines in (call, [*call, _BACKWARD], ["target.train()", *call, _BACKWARD]):
        yield script_text(context, Candidate((*lines, *returned), allowed=None))

    def of_law() -> list[str]:
        first = itertools.islice(own_candidates(context), _OF_LAW)
        return [script_text(context, candidate) for candidate in first]

    found = call_apart(of_law)
    if isinstance(found, list):
        yield from found
