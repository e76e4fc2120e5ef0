"""Vocabularies in a form that is mapped rather than parsed, and how words are cut into their pieces."""
