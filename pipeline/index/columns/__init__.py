"""Metadata as typed columns beside a segment: what filters and facets read."""
