"""What an ingest has cut, kept while it goes on."""
