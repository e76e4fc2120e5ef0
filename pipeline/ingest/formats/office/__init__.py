"""Office documents: text, workbooks, slides; and what their packages have in common."""
