"""From ranked numbers to what people see: hits, the text around them, snippets."""
