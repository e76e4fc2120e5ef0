"""Sources that are no files: what they hold is fetched into a folder of the index, and read from there."""
