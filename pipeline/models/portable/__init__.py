"""Converted encoders that travel with an index, to machines without the model's own files and libraries."""
