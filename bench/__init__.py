"""Benchmarks: one command per table; results in RESULTS.md. Run with the project's own interpreter."""
