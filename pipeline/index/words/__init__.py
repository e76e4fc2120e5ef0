"""The words of a segment's texts, for those that are near one that was mistyped."""
