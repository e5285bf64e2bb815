"""Implementations that are built, called or laid out in other ways than nn.GRU."""
