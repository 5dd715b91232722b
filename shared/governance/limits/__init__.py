"""Budgets and rate limits: windows, and the guard that reserves before a call and settles after it."""
