"""Commands that answer until they are told to stop."""
