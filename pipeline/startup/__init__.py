"""How a command begins and ends its process, and what it says where a package is missing."""
