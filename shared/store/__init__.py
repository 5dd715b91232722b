"""The store: a Redis-compatible server, ours or yours, and the ways to speak to it."""
