"""Reading and cutting documents in processes beside the build."""
