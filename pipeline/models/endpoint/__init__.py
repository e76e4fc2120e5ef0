"""Encoders and rerankers behind HTTP."""
