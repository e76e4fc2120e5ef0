"""Hits that belong together: sections of which most chunks are hit, and documents with their best chunks."""
