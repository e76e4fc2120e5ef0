"""How a generation compares with the live one, before it takes its place."""
