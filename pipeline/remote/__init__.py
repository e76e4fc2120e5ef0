"""Indexes in object stores: published there by one conditional put, and searched in a local copy."""
