"""How jobs, keys and usage look on a terminal, and as JSON."""
