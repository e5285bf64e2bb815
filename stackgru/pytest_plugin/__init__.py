"""The pytest plugin, suite_for and check."""
