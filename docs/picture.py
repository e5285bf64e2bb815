"""Draw docs/check.svg, the README's picture, from a real run (torch 2.13.0, opacus 1.6.0).

python docs/picture.py
"""

from __future__ import annotations

from pathlib import Path

import stackgru
from stackgru.report.page import picture

TARGET = "opacus.layers:DPGRU"


def main() -> None:
    """Run the check and draw it."""
    report = stackgru.check(TARGET, seed=1)
    svg = picture(report, f"stackgru check {TARGET} --seed 1")
    Path(__file__).with_name("check.svg").write_text(svg)


if __name__ == "__main__":
    main()
