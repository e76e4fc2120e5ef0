"""Encoding on other machines: shares of a plan for any scheduler, or workers that this build gives shards to."""
