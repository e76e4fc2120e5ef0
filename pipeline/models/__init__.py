"""Encoders, and the runtime they share. The only package that imports a model library."""
