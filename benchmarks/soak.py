"""Try to refute the laws of values on right implementations, with many examples.

    python -m benchmarks.soak --examples 100000

Prints the largest ratio of difference to allowed difference for each dtype and law, and every
violation; ends with status 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict

from hypothesis import settings

from stackgru.cases import DTYPES
from stackgru.evidence import Violation
from stackgru.options import Options
from stackgru.running import runs_for
from tests.variants import Concatenated, Einsum, Float64Inside, HandWritten

TARGETS = ("stackgru:StackingGRUCell", HandWritten, Einsum, Concatenated, Float64Inside)
LAWS = ("equation", "one-step", "unrolled", "same-masks")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000, help="examples a law")
    parser.add_argument("--dtypes", nargs="+", default=DTYPES)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    each = arguments.examples // (len(TARGETS) * len(DTYPES))
    settings.register_profile("soak", database=None)
    settings.load_profile("soak")
    ratios: dict[tuple[str, str], float] = defaultdict(float)
    tried, violations = Counter(), 0
    for dtype in arguments.dtypes:
        options = Options(
            laws=LAWS, dtypes=(dtype,), max_examples=each, seed=arguments.seed, timeout=0
        )
        for target in TARGETS:
            for run in runs_for(target, options, {}):
                if run.law is None:
                    continue
                try:
                    run.run()
                except Violation as violation:
                    violations += 1
                    print(run.law.name, run.target.name, violation.case, violation, flush=True)
                key = (dtype, run.law.name)
                ratios[key] = max(ratios[key], run.result.ratio)
                tried[key] += run.result.examples
        for law in LAWS:
            key = (dtype, law)
            print(
                f"{dtype:<9} {law:<11} {tried[key]:>8} examples, ratio {ratios[key]:.3f}",
                flush=True,
            )
    print(f"{sum(tried.values())} examples, {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
