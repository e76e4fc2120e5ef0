"""The service as one shard of an index, and as the front of shards."""
