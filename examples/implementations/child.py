"""One check in a process of its own: ``python -m examples.implementations.child FILE OPTIONS``.

OPTIONS is JSON: name, max_examples, laws. The report goes into FILE as JSON; or why there is none,
as {"error": ...}.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import stackgru
from examples.implementations import IMPLEMENTATIONS
from stackgru.targets.importing import TargetError

_TIMEOUT = 60  # seconds a law; and as many for finding out what it is


def main(file: str, options: str) -> None:
    """Check one implementation and write what came of it."""
    given = json.loads(options)
    one = next(one for one in IMPLEMENTATIONS if one.name == given["name"])
    warnings.simplefilter("ignore")  # what packages say as they are imported
    try:
        convention = one.convention()
    except (ImportError, AttributeError) as error:
        text = json.dumps({"error": f"cannot be imported: {error}"})
    else:
        told = {"seed": 1, "dtypes": one.dtypes, "timeout": _TIMEOUT}
        told |= {"max_examples": given["max_examples"], "laws": given["laws"]}
        try:
            text = stackgru.check(convention, **told).to_json()
        except TargetError as error:
            text = json.dumps({"error": str(error).splitlines()[0]})
    Path(file).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
