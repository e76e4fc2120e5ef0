"""An index over shards as its front sees it: a snapshot and legs that ask."""
