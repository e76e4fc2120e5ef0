"""What a build did, for the person who finds out in the morning: a JSON record and a page."""
