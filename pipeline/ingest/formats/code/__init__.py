"""Programs: cut at functions and classes by tree-sitter (the extra `code`)."""
