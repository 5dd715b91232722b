"""Uploads, and whose files and batches a caller may see."""
