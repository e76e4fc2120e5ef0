"""Adapters to frameworks, a module each; it can be imported where its framework is installed."""
