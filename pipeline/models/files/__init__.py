"""Model folders: where they are, what is in them, what was made of them."""
