"""What the service does at each address."""
