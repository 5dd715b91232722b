"""An upstream that behaves like the real ones, faults included, without cost."""
