"""Multi-vectors: a vector for every token of a chunk."""
