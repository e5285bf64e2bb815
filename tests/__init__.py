"""The tests; the folders mirror the rooms of the package."""

import os

#: Whether `python -m tests.nightly` runs them, and so with all examples and cases.
FULL = "STACKGRU_NIGHTLY" in os.environ
