"""Markup that people write by hand, and notebooks and subtitles: headings and code kept, markup gone."""
