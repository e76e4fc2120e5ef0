"""One generation of an index, written to carry it to another machine, and read there."""
