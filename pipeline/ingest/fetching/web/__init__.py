"""Pages of the web: a list of addresses, asked for politely, and again only for what has changed."""
