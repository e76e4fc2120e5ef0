"""The store: files, schemas, manifests, segments and their searchable parts."""
