"""HTML by the standard library: a tree, its main content, and that as Markdown."""
