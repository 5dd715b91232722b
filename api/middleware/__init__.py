"""Middleware around every request; pure ASGI, one per file."""
