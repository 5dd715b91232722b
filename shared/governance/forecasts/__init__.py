"""Limit status, spend forecasts, anomalies and alerts."""
