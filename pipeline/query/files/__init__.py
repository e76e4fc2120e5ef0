"""Files of queries and files of hits."""
