"""One index over several machines: shares of its segments that others search, asked as one."""
