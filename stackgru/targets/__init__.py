"""Somebody's implementation: imported, constructed, called, and its weights found."""
