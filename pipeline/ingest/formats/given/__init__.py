"""Rows whose vectors are given."""
