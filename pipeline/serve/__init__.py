"""The search service: open indexes over HTTP. docs/serve.md tells how it is used."""
