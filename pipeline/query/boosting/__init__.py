"""Boosts: what multiplies scores, from the values of metadata columns."""
