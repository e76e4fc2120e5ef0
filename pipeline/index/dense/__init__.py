"""The dense leg on disk: FAISS, and rows of vectors."""
