"""The API tier: HTTP surfaces for callers and administrators."""
