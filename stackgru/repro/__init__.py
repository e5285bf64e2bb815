"""A violation as a script, an issue text and a saved folder; replayed."""
