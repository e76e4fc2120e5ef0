"""Search: legs, fusion, snippets."""
