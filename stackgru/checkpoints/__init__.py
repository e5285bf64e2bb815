"""State dicts and checkpoint files, from cells to nn.GRU and back."""
