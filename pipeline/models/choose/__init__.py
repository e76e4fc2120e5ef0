"""From settings to an encoder or a reranker."""
