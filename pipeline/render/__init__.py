"""What the command line prints: lines and tables for people, records for machines."""
