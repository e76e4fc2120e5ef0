"""Pictures of text → lines of words and their places, and documents of them: found by PP-OCR, read by Tesseract."""
