"""Files of each format → documents."""
