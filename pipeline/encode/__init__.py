"""Chunks in, shards and segments out."""
