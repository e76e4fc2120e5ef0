"""BM25: terms of a text, Korean included, and their counts."""
