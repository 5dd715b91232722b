"""Answers given before, for calls that are the same."""
