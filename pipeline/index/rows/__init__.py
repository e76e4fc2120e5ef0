"""A chunk by its row: memory-mapped, so that a hit costs no row group of `chunks.parquet`."""
