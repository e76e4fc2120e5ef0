"""Who may ask: host names, keys, headers."""
