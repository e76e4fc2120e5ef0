"""The job that brings an index up to date: plan, ingest, encode, judge, publish, report."""
