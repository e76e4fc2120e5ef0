"""Vectors that sources give, on their way through the staging area."""
