"""What a server of tools for language models is made of."""
