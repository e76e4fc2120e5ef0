"""What a build has ready before it encodes: what is staged, the processes that read, a look at given vectors."""
