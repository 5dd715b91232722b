"""Logs and metrics of both tiers."""
