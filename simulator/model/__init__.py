"""The simulated model: deterministic text, JSON, ids and media."""
