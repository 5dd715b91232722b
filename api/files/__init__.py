"""Uploads, and checks of stored files."""
