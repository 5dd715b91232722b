"""Neutral judges: other people's tests and clients, asked about the gateway by `make judges`."""
