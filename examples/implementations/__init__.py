"""GRUs of other packages, each with the Convention that stackgru checks it in, as it is.

The module under test is the package's own, with its own parameters. A wrapper of a few lines does
what a convention cannot (an attention score, batch first, one width for input and state). Packages
are imported only when their convention is needed; some without their ``__init__``, or beside
stand-ins for packages that they import and that nothing here uses.

    python -m examples.implementations --only opacus.DPGRU
"""

from examples.implementations import several_layers, single_layer, without_torch
from examples.implementations.base import IMPLEMENTATIONS, Implementation

__all__ = ["IMPLEMENTATIONS", "Implementation", "several_layers", "single_layer", "without_torch"]
