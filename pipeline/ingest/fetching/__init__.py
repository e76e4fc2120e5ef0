"""What sources give that are no paths, fetched into a mirror in the index and read there as files."""
