"""Scores of several legs put together, and how that is chosen and calibrated."""
