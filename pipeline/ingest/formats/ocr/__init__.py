"""Pictures of text → lines of words and their places, offline: found by PP-OCR, read by Tesseract; documents of them."""
