"""The lexical leg on disk: postings, exact and approximate search."""
