"""EPUB and ODT: XML in a ZIP archive, without external entities and of bounded size."""
