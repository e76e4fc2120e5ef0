"""Files inside of files: archives and attachments, read as if they stood in a folder."""
