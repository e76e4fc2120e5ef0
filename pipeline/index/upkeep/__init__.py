"""Looking after an index: verify, repair, compact."""
