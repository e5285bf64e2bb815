"""Where a target first goes wrong, and what it is instead."""
