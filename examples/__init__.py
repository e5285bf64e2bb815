"""Examples: mistakes in a cell, and GRUs that other packages hold."""
