"""Scripts of the cache."""
