"""GRUs that other packages hold, each with the Convention by which stackgru checks it as it is.

What is built is the package's own module with its own parameters. Where a convention does not
reach (an attention score, rows first, one width for input and state), a module of a few lines
stands around it. Packages are imported when a convention is asked for, never before. Some are
imported without their ``__init__``, or beside stand-ins for packages that they import and that
nothing here uses.

    python -m examples.implementations --only opacus.DPGRU
"""

from examples.implementations import several_layers, single_layer
from examples.implementations.base import IMPLEMENTATIONS, Implementation

__all__ = ["IMPLEMENTATIONS", "Implementation", "several_layers", "single_layer"]
