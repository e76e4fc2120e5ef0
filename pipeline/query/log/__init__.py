"""The log of queries: who asked what, how long it took and what was found. Off unless `query.log` is set."""
