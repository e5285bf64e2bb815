"""Running laws: selection, search, limits, known violations."""
