"""Raises while it is imported."""

raise ValueError("the settings are missing")
