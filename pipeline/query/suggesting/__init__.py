"""Did you mean: words near those of a query that the index does not hold."""
