"""One check in a process of its own: ``python -m examples.implementations.child FILE OPTIONS``.

OPTIONS is JSON: name, max_examples, laws. FILE gets the report as JSON, or {"error": reason}.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import stackgru
from examples.implementations import IMPLEMENTATIONS
from stackgru.targets.importing import TargetError

_TIMEOUT = 60  # seconds per law, and for the diagnosis


def main(file: str, options: str) -> None:
    """Check one implementation and write the report or the reason why there is none."""
    given = json.loads(options)
    one = next(one for one in IMPLEMENTATIONS if one.name == given["name"])
    warnings.simplefilter("ignore")  # packages warn as they are imported
    try:
        convention = one.convention()
    except (ImportError, AttributeError) as error:
        text = json.dumps({"error": f"cannot be imported: {error}"})
    else:
        fields = {"seed": 1, "dtypes": one.dtypes, "timeout": _TIMEOUT}
        fields |= {"max_examples": given["max_examples"], "laws": given["laws"]}
        try:
            text = stackgru.check(convention, **fields).to_json()
        except TargetError as error:
            text = json.dumps({"error": str(error).splitlines()[0]})
    Path(file).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
