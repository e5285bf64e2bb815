"""The modules under test: right, broken, called in other ways; and the catalogue."""
