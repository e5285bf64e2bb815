"""Examples: mistakes in a cell, and GRUs of other packages."""
