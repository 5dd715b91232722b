"""Large bodies outside Redis: an object store, or a directory."""
