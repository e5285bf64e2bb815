"""The GRU itself: the bundled cell, its unrolling, and weights shared with nn.GRU."""
