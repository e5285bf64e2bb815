"""Broken implementations by topic, each a few lines over a right one; see catalogue.py."""
