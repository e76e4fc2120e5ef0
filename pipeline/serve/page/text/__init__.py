"""What of a document may stand on a page, and how."""
