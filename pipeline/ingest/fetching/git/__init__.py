"""Files of a git repository, at one commit."""
