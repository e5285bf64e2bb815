"""The names of the laws, for what must not import torch: a command line, and what is left to run.

The registry has the laws themselves; tests compare the two.
"""

from __future__ import annotations

import fnmatch

from stackgru.options import Options, UsageError, did_you_mean

#: Each law's family and question, in the catalogue's order; see Law.
NAMES = {
    "equation": ("values", "training"),
    "one-step": ("values", "seeds"),
    "unrolled": ("values", "training"),
    "same-masks": ("values", "training"),
    "hn-is-last": ("values", "training"),
    "chunks": ("values", "training"),
    "rows": ("values", "training"),
    "causal": ("values", "training"),
    "default-state": ("values", "training"),
    "bounded": ("values", "training"),
    "magnitudes": ("values", "training"),
    "not-finite": ("values", "training"),
    "dtypes": ("values", "training"),
    "autocast": ("values", "training"),
    "unbiased": ("values", "training"),
    "layouts": ("values", "conduct"),
    "bidirectional": ("values", "conduct"),
    "empty-batch": ("values", "training"),
    "same-draws": ("randomness", "seeds"),
    "no-draws": ("randomness", "seeds"),
    "repeatable": ("randomness", "seeds"),
    "mask-count": ("randomness", "training"),
    "seed-matters": ("divergence", "seeds"),
    "order-matters": ("divergence", "sequences"),
    "first-step-is-not-hn": ("divergence", "training"),
    "mode-matters": ("divergence", "training"),
    "everything-matters": ("divergence", "training"),
    "gradients": ("gradients", "gradients"),
    "second-derivatives": ("gradients", "gradients"),
    "frozen": ("gradients", "gradients"),
    "forward-mode": ("gradients", "gradients"),
    "training": ("gradients", "gradients"),
    "autocast-gradients": ("gradients", "gradients"),
    "results": ("conduct", "conduct"),
    "passes": ("conduct", "gradients"),
    "parameters": ("conduct", "gradients"),
    "purity": ("conduct", "conduct"),
    "stateless": ("conduct", "conduct"),
    "strided": ("conduct", "conduct"),
    "meta": ("conduct", "conduct"),
    "generators": ("conduct", "conduct"),
    "released": ("conduct", "conduct"),
    "in-threads": ("conduct", "conduct"),
    "hooks": ("conduct", "conduct"),
    "nested": ("conduct", "conduct"),
    "inherited": ("conduct", "conduct"),
    "replaced": ("conduct", "conduct"),
    "parametrised": ("conduct", "conduct"),
    "calls-under-autocast": ("conduct", "conduct"),
    "drop-in": ("conduct", "drop-in"),
    "refusals": ("conduct", "conduct"),
    "life": ("conduct", "conduct"),
    "functional-call": ("transforms", "conduct"),
    "checkpoint": ("transforms", "conduct"),
    "script": ("transforms", "conduct"),
    "export": ("transforms", "conduct"),
    "compile": ("transforms", "conduct"),
    "trace": ("transforms", "conduct"),
    "vmap": ("transforms", "conduct"),
}
FAMILIES = tuple(dict.fromkeys(family for family, _ in NAMES.values()))


def selected(options: Options) -> list[str]:
    """Return the names of the laws that the options ask for, in the catalogue's order.

    Raises:
        UsageError: if a pattern matches no law; the message suggests the nearest.
    """
    for pattern in (*options.laws, *options.skip):
        if not any(_matches(name, pattern) for name in NAMES):
            hint = did_you_mean(pattern, [*NAMES, *FAMILIES], cutoff=0.4)
            raise UsageError(
                f"no law is called {pattern!r}{hint or '; `stackgru laws` lists them.'}"
            )
    chosen = [
        name
        for name in NAMES
        if any(_matches(name, pattern) for pattern in options.laws or ("*",))
        and not any(_matches(name, pattern) for pattern in options.skip)
    ]
    if not chosen:
        raise UsageError("all selected laws are skipped.")
    return chosen


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern matches a law's name, or its family if no law has that name."""
    family, _ = NAMES[name]
    return fnmatch.fnmatchcase(name, pattern) or (
        family not in NAMES and fnmatch.fnmatchcase(family, pattern)
    )
