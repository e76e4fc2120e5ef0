"""HWP and HWPX, the files of the Korean word processor Hangul → Markdown."""
