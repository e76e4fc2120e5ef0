"""The commands that measure searches by judgements."""
