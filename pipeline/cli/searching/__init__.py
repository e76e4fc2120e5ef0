"""What the command that searches takes, and where its hits go."""
