"""What every searchable part of a segment offers, and which parts there are."""
