"""PDF → Markdown, by PDFium's text and positions."""
